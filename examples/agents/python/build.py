"""Builds agent-python.wasm: `python3 build.py`, or with --debug, to see exceptions under `quipu run --wasi --trace`."""

import importlib.util
import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).parent
ENVIRONMENT = HERE / ".venv"


def tool():
    """componentize-py: the one on the path, or the pinned one in an environment beside this file."""
    ready = ENVIRONMENT / "ready"
    if shutil.which("componentize-py"):
        return "componentize-py"
    if not ready.exists() or ready.read_bytes() != (HERE / "requirements.txt").read_bytes():
        if not importlib.util.find_spec("ensurepip"):
            sys.exit("this Python makes no virtual environments (Debian: apt-get install python3-venv)")
        print("installing componentize-py into .venv", flush=True)
        venv.create(ENVIRONMENT, clear=True, with_pip=True)
        pip = [ENVIRONMENT / "bin/python", "-m", "pip", "install", "--quiet", "--require-hashes", "-r", "requirements.txt"]
        subprocess.run(pip, cwd=HERE, check=True)
        shutil.copy(HERE / "requirements.txt", ready)
    return ENVIRONMENT / "bin/componentize-py"


stubs = [] if "--debug" in sys.argv[1:] else ["--stub-wasi"]
componentize = [tool(), "-d", "../../../wit", "-w", "agent", "componentize", *stubs, "-p", ".", "app", "-o", "agent-python.wasm"]
sys.exit(subprocess.run(componentize, cwd=HERE).returncode)
