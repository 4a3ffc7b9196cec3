"""``crashcart build``: an image of tools out of a distribution's packages, without root. Needs ``crashcart[build]``."""
