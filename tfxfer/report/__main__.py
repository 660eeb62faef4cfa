import pathlib
import runpy

import tfxfer

if __name__ == '__main__':
    runpy.run_path(
        str(pathlib.Path(tfxfer.__file__).parent / 'report/build.py'),
        run_name='__main__',
    )
