"""Files are written in UTF-8 wherever they are written."""

import os
import subprocess
import sys

TEXT = "σ ± 0.1 × 3"


def test_text_is_utf_8_in_any_locale(tmp_path):
    code = (
        "import sys, pathlib; from workshop.generative_models.core.files import write_text\n"
        f"write_text({TEXT!a}, pathlib.Path(sys.argv[1]))"
    )
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    path = tmp_path / "a.txt"
    subprocess.run([sys.executable, "-c", code, str(path)], env=os.environ | plain, check=True)
    assert path.read_text(encoding="utf-8") == TEXT
