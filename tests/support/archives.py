"""Small archives of every dataset in the format in which its authors publish it.

Each writer of WRITERS fills a folder of archives and returns what it wrote: a list of
(split, name of the class, bytes of the image file). Splits are the authors'. Images are
crops of scikit-learn's two real photographs, no two alike.
"""

import functools
import hashlib
import io
import pathlib
import tarfile
import zipfile

import numpy as np
import scipy.io
from PIL import Image
from sklearn import datasets as sklearn_datasets

from tfxfer import datasets

LABELS = 'image_classification'


@functools.cache
def _photographs():
    return sklearn_datasets.load_sample_images().images


def crop(number, side=16):
    """u8 [side, side, 3]: another part of the two photographs for every number."""
    photograph = _photographs()[number % 2]
    rows, columns = (length - side for length in photograph.shape[:2])
    place = (number // 2) * 7919  # A prime: neighbours lie far apart.
    y, x = place // columns % rows, place % columns
    return photograph[y : y + side, x : x + side]


def encoded(number, side=16, kind='JPEG'):
    file = io.BytesIO()
    Image.fromarray(crop(number, side)).save(file, format=kind)
    return file.getvalue()


def tar(path, files, mode='w:gz'):
    """files: {name in the archive: bytes}."""
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path.read_bytes()


def _text(lines):
    return ''.join(f'{line}\n' for line in lines).encode()


def _mat(**values):
    file = io.BytesIO()
    scipy.io.savemat(file, values)
    return file.getvalue()


def tfds_names(file):
    """Names of classes as TFDS ships them: the archives have just these folders."""
    import tensorflow_datasets as tfds

    return tfds.core.tfds_path(file).read_text().split('\n')[:-1]


def _each(classes, counts):
    """(number, split, class) of counts[split] images of every class."""
    number = 0
    for split, count in counts.items():
        for name in classes:
            for _ in range(count):
                yield number, split, name
                number += 1


def food101(folder):
    classes = sorted(tfds_names(f'{LABELS}/food-101_classes.txt'))
    files, made, meta = {}, [], {'train': {}, 'test': {}}
    for number, split, name in _each(classes, {'train': 3, 'test': 1}):
        data = encoded(number)
        files[f'food-101/images/{name}/{number}.jpg'] = data
        meta[split].setdefault(name, []).append(f'{name}/{number}')
        made.append((split, name, data))
    for split, names in meta.items():
        text = str(names).replace("'", '"')
        files[f'food-101/meta/{split}.json'] = text.encode()
    tar(folder / 'food-101.tar.gz', files)
    return made


def _cifar(folder, file, root, names, batches, prefix):
    """The binary version: for each image its labels, then all red, green, blue."""
    files, made = dict(names), []
    for name, rows in batches.items():
        data = b''
        for number, labels, label_name in rows:
            pixels = crop(number, 32)
            data += bytes(labels) + pixels.transpose(2, 0, 1).tobytes()
            made.append((prefix[name], label_name, pixels.tobytes()))
        files[name] = data
    tar(folder / file, {f'{root}/{name}': data for name, data in files.items()})
    return made


def cifar10(folder):
    names = 'airplane automobile bird cat deer dog frog horse ship truck'.split()
    files = [f'data_batch_{i}.bin' for i in range(1, 6)] + ['test_batch.bin']
    batches = {
        file: [(20 * f + i, [i % 10], names[i % 10]) for i in range(10)]
        for f, file in enumerate(files)
    }
    splits = {file: 'test' if 'test' in file else 'train' for file in files}
    return _cifar(
        folder,
        'cifar-10-binary.tar.gz',
        'cifar-10-batches-bin',
        {'batches.meta.txt': _text(names) + b'\n'},
        batches,
        splits,
    )


def cifar100(folder):
    fine = [f'fine {i}' for i in range(100)]
    coarse = [f'coarse {i}' for i in range(20)]
    batches = {
        'train.bin': [(i, [i % 20, i % 100], fine[i % 100]) for i in range(300)],
        'test.bin': [(300 + i, [i % 20, i], fine[i]) for i in range(100)],
    }
    return _cifar(
        folder,
        'cifar-100-binary.tar.gz',
        'cifar-100-binary',
        {'coarse_label_names.txt': _text(coarse), 'fine_label_names.txt': _text(fine)},
        batches,
        {'train.bin': 'train', 'test.bin': 'test'},
    )


def birdsnap(folder, lost=(), damaged=(), url='http://127.0.0.1:9'):
    """The list and the photographs; `lost` and `damaged` ones by number."""
    species = [(i + 1, f"Bird's {i}", f'Avis {i}', f'Birds_{i}') for i in range(500)]
    rows, made, test = [], [], []
    for number, split, (i, common, _, place) in _each(species, {'train': 2, 'test': 1}):
        data, path = encoded(number), f'{place}/{number}.jpg'
        md5 = hashlib.md5(data).hexdigest()
        rows.append(f'{url}/{path}\t{md5}\t{path}\t{i}\t1\t1\t9\t9\t\t')
        if split == 'test':
            test.append(path)
        if number not in lost:
            file = folder / 'birdsnap/download/images' / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data[:100] if number in damaged else data)
        if number not in {*lost, *damaged}:
            made.append((split, common, data))
    header = 'url md5 path species_id bb_x1 bb_y1 bb_x2 bb_y2 back_x back_y'
    table = ['\t'.join(map(str, row)) for row in species]
    tar(
        folder / 'birdsnap.tgz',
        {
            'birdsnap/species.txt': _text(['id\tcommon\tscientific\tdir', *table]),
            'birdsnap/images.txt': _text([header.replace(' ', '\t'), *rows]),
            'birdsnap/test_images.txt': _text(['path', *test]),
        },
    )
    return made


def sun397(folder):
    classes = tfds_names(f'{LABELS}/sun397_labels.txt')
    files, made, lists = {}, [], {'train': [], 'test': []}
    for number, split, name in _each(classes, {'train': 2, 'test': 1}):
        # Some files of the real archive are PNGs, all are called jpg.
        data = encoded(number, kind='PNG' if number % 50 == 0 else 'JPEG')
        files[f'SUN397{name}/sun_{number:07d}.jpg'] = data
        lists[split].append(f'{name}/sun_{number:07d}.jpg')
        made.append((split, name, data))
    files['SUN397/a/abbey/sun_of_another_split.jpg'] = encoded(99_999)
    tar(folder / 'SUN397.tar.gz', files)
    with zipfile.ZipFile(folder / 'Partitions.zip', 'w') as archive:
        archive.writestr('Training_01.txt', _text(lists['train']))
        archive.writestr('Testing_01.txt', _text(lists['test']))
        archive.writestr('Training_02.txt', _text(lists['test']))
        archive.writestr('Testing_02.txt', _text(lists['train']))
    return made


def cars(folder):
    import tensorflow_datasets as tfds

    builder = tfds.builder_cls('cars196')(data_dir=folder)
    classes = builder.info.features['label'].names
    files, made = {'train': {}, 'test': {}}, []
    rows = {'train': [], 'test': []}
    for number, split, name in _each(classes, {'train': 2, 'test': 1}):
        file, data = f'{len(files[split]) + 1:05d}.jpg', encoded(number)
        files[split][f'cars_{split}/{file}'] = data
        rows[split].append((1, 2, 9, 8, classes.index(name) + 1, file))
        made.append((split, name, data))
    tar(folder / 'cars_train.tgz', files['train'])
    tar(folder / 'cars_test.tgz', files['test'])
    fields = ('bbox_x1', 'bbox_y1', 'bbox_x2', 'bbox_y2', 'class', 'fname')
    structs = {
        split: _mat(annotations=np.array([table], [(f, object) for f in fields]))
        for split, table in rows.items()
    }
    (folder / 'cars_test_annos_withlabels.mat').write_bytes(structs['test'])
    tar(folder / 'car_devkit.tgz', {'devkit/cars_train_annos.mat': structs['train']})
    return made


def aircraft(folder, images=encoded):
    """`images` makes the file of a number: for broken ones."""
    variants = [f'F/A-{i}' if i % 2 else f'707-{i} Mk {i}' for i in range(100)]
    root, made = 'fgvc-aircraft-2013b/data', []
    files = {f'{root}/variants.txt': _text(variants)}
    lists = {'train': [], 'val': [], 'test': []}
    for number, split, name in _each(variants, {'train': 2, 'val': 1, 'test': 1}):
        data = images(number)
        files[f'{root}/images/{number:07d}.jpg'] = data
        lists[split].append(f'{number:07d} {name}')
        made.append(({'val': 'valid'}.get(split, split), name, data))
    for split, lines in lists.items():
        files[f'{root}/images_variant_{split}.txt'] = _text(lines)
    tar(folder / 'fgvc-aircraft-2013b.tar.gz', files)
    return made


VOC = (
    'aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse '
    'motorbike person pottedplant sheep sofa train tvmonitor'
).split()


def voc2007(folder):
    """Each image: one plain object, perhaps a difficult one of the next class.

    The class is then a dict {name: 1 or -1 (difficult objects only)}, as in the files
    of ImageSets/Main, where 0 stands for difficult and -1 for none.
    """
    made, main = [], {}
    sets = {'trainval': {}, 'test': {}}
    lists = {'train': [], 'val': [], 'test': []}
    for number, split, name in _each(VOC, {'train': 2, 'val': 1, 'test': 2}):
        image, data = f'{number:06d}', encoded(number)
        following = VOC[(VOC.index(name) + 1) % 20]
        objects = [(name, 0)]
        if number % 3 == 0:
            objects += [(following, 1)]
        # Difficult objects before or after a plain one of the class do not hide it.
        objects = [(name, 1)] * (number % 4 == 0) + objects
        objects += [(name, 1)] * (number % 4 == 1)
        labels = {following: -1} if number % 3 == 0 else {}
        labels[name] = 1
        root, files = (
            'VOCdevkit/VOC2007',
            sets['test' if split == 'test' else 'trainval'],
        )
        files[f'{root}/JPEGImages/{image}.jpg'] = data
        files[f'{root}/Annotations/{image}.xml'] = _annotation(objects)
        lists[split].append(image)
        for c in VOC:
            flag = {1: ' 1', -1: ' 0', None: '-1'}[labels.get(c)]
            main.setdefault((c, split), []).append(f'{image} {flag}')
        made.append(({'val': 'valid'}.get(split, split), labels, data))
    for split, names in lists.items():
        files = sets['test' if split == 'test' else 'trainval']
        files[f'VOCdevkit/VOC2007/ImageSets/Main/{split}.txt'] = _text(names)
        for c in VOC:
            path = f'VOCdevkit/VOC2007/ImageSets/Main/{c}_{split}.txt'
            files[path] = _text(main[c, split])
    tar(folder / 'VOCtrainval_06-Nov-2007.tar', sets['trainval'], 'w')
    tar(folder / 'VOCtest_06-Nov-2007.tar', sets['test'], 'w')
    return made


def _annotation(objects):
    boxes = ''.join(
        f'<object><name>{name}</name><pose>Left</pose><truncated>0</truncated>'
        f'<difficult>{difficult}</difficult><bndbox><xmin>1</xmin><ymin>1</ymin>'
        '<xmax>9</xmax><ymax>9</ymax></bndbox></object>'
        for name, difficult in objects
    )
    return (
        '<annotation><size><width>16</width><height>16</height><depth>3</depth></size>'
        f'{boxes}</annotation>'
    ).encode()


def dtd(folder):
    classes = tfds_names(f'{LABELS}/dtd_key_attributes.txt')
    files, made, lists = {}, [], {}
    for number, split, name in _each(classes, {'train': 1, 'val': 1, 'test': 1}):
        data, file = encoded(number), f'{name}/{name}_{number:04d}.jpg'
        files[f'dtd/images/{file}'] = data
        lists.setdefault(f'{split}1', []).append(file)
        made.append(({'val': 'valid'}.get(split, split), name, data))
    # Another fold, with the same images elsewhere.
    lists['train2'], lists['test2'] = lists['val1'], lists['train1']
    lists['val2'] = lists['test1']
    for name, lines in lists.items():
        files[f'dtd/labels/{name}.txt'] = _text(lines)
    tar(folder / 'dtd-r1.0.1.tar.gz', files)
    return made


def pets(folder):
    import tensorflow_datasets as tfds

    builder = tfds.builder_cls('oxford_iiit_pet')(data_dir=folder)
    classes = builder.info.features['label'].names
    images, notes, made = {}, {}, []
    lists = {'train': [], 'test': []}
    mask = io.BytesIO()
    Image.fromarray(np.ones((16, 16), np.uint8)).save(mask, format='PNG')
    for number, split, name in _each(classes, {'train': 3, 'test': 1}):
        file, data = f'{name}_{number + 1000}', encoded(number)
        images[f'images/{file}.jpg'] = data
        notes[f'annotations/trimaps/{file}.png'] = mask.getvalue()
        lists[split].append(f'{file} {classes.index(name) + 1} {1 + number % 2} 1')
        made.append((split, name, data))
    notes['annotations/trainval.txt'] = _text(lists['train'])
    notes['annotations/test.txt'] = _text(lists['test'])
    tar(folder / 'images.tar.gz', images)
    tar(folder / 'annotations.tar.gz', notes)
    return made


def caltech101(folder, number_of=lambda c: 31 + c % 3):
    """`number_of` images of class c; all in one split, which ours is drawn from."""
    classes = tfds_names(f'{LABELS}/caltech101_labels.txt')
    files, made, number = {}, [], 0
    for c, name in enumerate(classes):
        # Two folders of the original are in capitals.
        place = {'faces': 'Faces', 'background_google': 'BACKGROUND_Google'}
        for i in range(number_of(c)):
            data = encoded(number, side=8)
            path = f'101_ObjectCategories/{place.get(name, name)}/image_{i + 1:04d}.jpg'
            files[path] = data
            made.append(('train', name, data))
            number += 1
    inner = folder / 'inner.tar.gz'
    data = tar(inner, files)
    inner.unlink()
    with zipfile.ZipFile(folder / 'caltech-101.zip', 'w') as archive:
        archive.writestr('caltech-101/101_ObjectCategories.tar.gz', data)
    return made


def flowers(folder):
    import tensorflow_datasets as tfds

    builder = tfds.builder_cls('oxford_flowers102')(data_dir=folder)
    classes = builder.info.features['label'].names
    files, made, labels = {}, [], []
    lists = {'train': [], 'valid': [], 'test': []}
    for number, split, name in _each(classes, {'train': 1, 'valid': 1, 'test': 2}):
        data = encoded(number)
        files[f'jpg/image_{number + 1:05d}.jpg'] = data
        labels.append(classes.index(name) + 1)
        lists[split].append(number + 1)
        made.append((split, name, data))
    tar(folder / '102flowers.tgz', files)
    (folder / 'imagelabels.mat').write_bytes(_mat(labels=[labels]))
    ids = {'trnid': 'train', 'valid': 'valid', 'tstid': 'test'}
    matrix = _mat(**{key: [lists[split]] for key, split in ids.items()})
    (folder / 'setid.mat').write_bytes(matrix)
    return made


def imagenet2012(folder):
    """Train: an archive of archives, one a class. The test set is validation."""
    classes = tfds_names('datasets/imagenet2012/labels.txt')
    order = tfds_names('datasets/imagenet2012/validation_labels.txt')
    outer, made, number = {}, [], 0
    for name in classes:
        files = {}
        for i in range(2):
            files[f'{name}_{i}.JPEG'] = encoded(number, side=8)
            made.append(('train', name, files[f'{name}_{i}.JPEG']))
            number += 1
        inner = folder / 'inner.tar'
        outer[f'{name}.tar'] = tar(inner, files, 'w')
        inner.unlink()
    tar(folder / 'ILSVRC2012_img_train.tar', outer, 'w')
    files = {}
    for i in range(40):
        data = encoded(number + i, side=8)
        files[f'ILSVRC2012_val_{i + 1:08d}.JPEG'] = data
        made.append(('test', order[i], data))
    tar(folder / 'ILSVRC2012_img_val.tar', files, 'w')
    return made


WRITERS = {
    'food101': food101,
    'cifar10': cifar10,
    'cifar100': cifar100,
    'birdsnap': birdsnap,
    'sun397': sun397,
    'cars': cars,
    'aircraft': aircraft,
    'voc2007': voc2007,
    'dtd': dtd,
    'pets': pets,
    'caltech101': caltech101,
    'flowers': flowers,
    'imagenet2012': imagenet2012,
}


def accept(monkeypatch, name, folder):
    """Puts the made archives' own sizes and sums where the real ones' stand."""
    from tensorflow_datasets.core.download import checksums

    from tfxfer.data import tfds_builders

    record = datasets.DATASETS[name]
    builder = record.tfds.partition(':')[0].partition('/')[0]
    if builder == 'birdsnap':
        md5 = hashlib.md5((folder / 'birdsnap.tgz').read_bytes()).hexdigest()
        monkeypatch.setattr(tfds_builders.Birdsnap, 'MD5', md5)
        return
    cls = tfds_builders.OWN.get(builder) or tfds_builders.tfds.builder_cls(builder)
    for url, info in list(cls.url_infos.items()):
        path = pathlib.Path(folder) / (info.filename or url.rsplit('/', 1)[-1])
        if path.exists():
            right = checksums.compute_url_info(path)
            right.filename = info.filename
            monkeypatch.setitem(cls.url_infos, url, right)
