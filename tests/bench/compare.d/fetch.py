"""
Programs out of other Debian releases, without installing anything: a private apt root for a suite,
one package downloaded and checked by apt as usual, unpacked beside it.  Two seconds and 10 MB.
"""

import glob
import os
import re
import shutil
import subprocess

import lib

CACHE = "/var/cache/tandem-bench"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def mirror():
    """Where this machine gets Debian from."""
    for name in ["/etc/apt/sources.list"] + sorted(glob.glob("/etc/apt/sources.list.d/*")):
        try:
            with open(name) as f:
                found = re.search(r"^[^#\n]*\b(https?://[^\s]*/debian)/?(?=\s)", f.read(), re.M)
        except OSError:
            continue
        if found:
            return found[1]
    raise lib.Trouble("no Debian mirror in /etc/apt/sources.list or sources.list.d")


def apt(root, cwd, *words, timeout):
    options = [f"Dir::Etc::SourceList={root}/sources.list", "Dir::Etc::SourceParts=/dev/null",
               f"Dir::State::Lists={root}/lists", f"Dir::Cache={root}/cache",
               "Dir::State::status=/dev/null", "Acquire::Languages=none", "APT::Sandbox::User=root"]
    argv = ["apt-get", "-q"] + [w for o in options for w in ("-o", o)] + list(words)
    try:
        done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise lib.Trouble(f"apt-get {words[0]} was not done after {timeout} s")
    except OSError as e:
        raise lib.Trouble(f"apt-get: {e.strerror}")
    if done.returncode != 0:
        raise lib.Trouble(f"apt-get {' '.join(words)}: {done.stderr.strip()[-200:]}")


def program(suite, package, path, timeout=60):
    """
    The path of a program of `package` as `suite` has it, fetched the first time.  Returns (path,
    version); raises Trouble with a sentence if it cannot be had.
    """
    where = os.path.join(CACHE, suite, package)
    binary, version = os.path.join(where, path), os.path.join(where, "VERSION")
    if not os.path.exists(version):
        fetch(suite, package, where, timeout)
    with open(version) as f:
        return binary, f.read().strip()


def fetch(suite, package, where, timeout):
    """`where` appears whole or not at all."""
    root, new = os.path.join(CACHE, suite, "apt"), where + ".new"
    for folder in ("lists/partial", "cache/archives/partial"):
        os.makedirs(os.path.join(root, folder), exist_ok=True)
    shutil.rmtree(new, ignore_errors=True)
    os.makedirs(new)
    with open(os.path.join(root, "sources.list"), "w") as f:
        f.write(f"deb [signed-by={KEYRING}] {mirror()} {suite} main\n")
    apt(root, new, "update", timeout=timeout)
    apt(root, new, "download", package, timeout=timeout)
    shutil.rmtree(root, ignore_errors=True)
    deb = glob.glob(os.path.join(new, "*.deb"))[0]
    lib.run(["dpkg-deb", "-x", deb, new])
    found = lib.run(["dpkg-deb", "-f", deb, "Version"]).stdout.strip()
    with open(os.path.join(new, "VERSION"), "w") as f:
        f.write(found + "\n")
    os.unlink(deb)
    shutil.rmtree(where, ignore_errors=True)
    os.rename(new, where)
