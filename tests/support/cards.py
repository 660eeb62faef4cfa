"""What an exported model says of itself."""

import json


def card(folder):
    """MODEL_CARD.md and what model_card.json holds."""
    text = (folder / 'MODEL_CARD.md').read_text()
    return text, json.loads((folder / 'model_card.json').read_text())
