"""`python -m tfxfer.predict_images`: see tfxfer/cli/predict_images.py."""

from tfxfer.cli import app, predict_images

if __name__ == '__main__':
    app.run(predict_images)
