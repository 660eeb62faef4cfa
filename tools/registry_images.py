"""`python -m tools.registry_images`: see tfxfer/cli/registry_images.py."""

from tfxfer.cli import app, registry_images

if __name__ == '__main__':
    app.run(registry_images)
