"""`python -m flyball.lab.modelserver` is `flyball modelserver`."""

from flyball.lab.modelserver.command import modelserver

if __name__ == "__main__":
    modelserver()
