"""The Debian package and the tarball: what is in them, what lintian says, and that a bare Debian runs them."""

import re
import tarfile

import pytest

from debian import needs_runtime, run


def test_checksums(packed):
    assert sorted(path.suffix for path in packed.iterdir()) == ["", ".deb", ".xz"]
    assert run("sha256sum", "--check", "SHA256SUMS", cwd=packed).stdout.count(": OK") == 2


def test_same_bytes_again(packed, repository, binary, tmp_path):
    run(repository / "Ops/package", "--binary", binary, "--output", tmp_path)
    assert (tmp_path / "SHA256SUMS").read_text() == (packed / "SHA256SUMS").read_text()


def test_control(package, binary):
    fields = run("dpkg-deb", "--field", package).stdout
    version = run(binary, "version").stdout.split()[1]
    assert f"Version: {version}\n" in fields
    depends = re.search(r"^Depends: (.*)$", fields, re.M).group(1)
    for library in ("libc6 (>=", "libdnnl2", "libnghttp2-14", "libprotobuf-c1", "libsqlite3-0", "adduser"):
        assert library in depends
    assert run("dpkg-deb", "--info", package, "conffiles").stdout == "/etc/lariat/cluster.yaml\n"


def test_contents(package):
    listed = run("dpkg-deb", "--contents", package).stdout
    for path in ("/usr/bin/lariat", "/lib/systemd/system/lariat-coordinator.service",
                 "/lib/systemd/system/lariat-worker@.service", "/etc/lariat/cluster.yaml",
                 "/usr/share/doc/lariat/README.md", "/usr/share/man/man1/lariat.1.gz",
                 "/usr/share/doc/lariat/Ops/slurm/lariat.sbatch",
                 "/usr/share/doc/lariat/Ops/kubernetes/workers.yaml",
                 "/usr/share/doc/lariat/Ops/prometheus/lariat.rules.yaml",
                 "/usr/share/doc/lariat/Ops/grafana/lariat.json", "/usr/share/doc/lariat/copyright",
                 "/usr/share/bash-completion/completions/lariat"):
        assert f" .{path}\n" in listed, path
    assert all(" root/root " in line for line in listed.splitlines())


def test_documents_find_what_they_link_to(package, tmp_path):
    """Files and folders that the documents in the package link to are in it."""
    run("dpkg-deb", "--extract", package, tmp_path)
    root = tmp_path / "usr/share/doc/lariat"
    found = 0
    for document in root.rglob("*.md"):
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text()):
            if "://" not in link:
                found += 1
                assert (document.parent / link).resolve().exists(), f"{document.relative_to(root)}: {link}"
    assert found > 10


def test_lintian(package, binary):
    errors = [line for line in run("lintian", "--allow-root", package, check=False).stdout.splitlines()
              if line.startswith("E:")]
    if needs_runtime(binary):
        # Only in a binary that was built for tests.
        errors = [line for line in errors if "custom-library-search-path" not in line]
    assert errors == []


def test_tarball(packed, binary, tmp_path):
    with tarfile.open(next(packed.glob("*.tar.xz"))) as archive:
        archive.extractall(tmp_path, filter="data")
    root = next(tmp_path.iterdir())
    assert run(root / "bin/lariat", "version").stdout == run(binary, "version").stdout
    for path in ("LICENSE", "systemd/lariat-coordinator.service", "share/doc/lariat/Cluster/three-hosts.yaml"):
        assert (root / path).is_file()


@pytest.fixture
def debian(bare_debian, tmp_path):
    with bare_debian.copy(tmp_path / "root").entered() as debian:
        yield debian


def test_a_bare_debian(debian, package, binary):
    inside = debian.inside
    debian.install(package, binary)
    assert inside("lariat", "version").stdout == run(binary, "version").stdout
    # The user, and what belongs to whom.
    assert inside("id", "-gn", "lariat").stdout == "lariat\n"
    stat = lambda path: inside("stat", "-c", "%U:%G %a", path).stdout.strip()
    assert stat("/etc/lariat") == "root:lariat 750"
    assert stat("/var/lib/lariat") == "lariat:lariat 750"
    # The specification that is installed is understood: the only fault is the model that is not there yet.
    said = inside("lariat", "coordinator", "--spec", "/etc/lariat/cluster.yaml", check=False).stderr
    assert "/var/lib/lariat/models/model.gguf" in said, said
    # What somebody changed survives an update, and keys survive a purge; the journal does not.
    configuration = debian / "etc/lariat/cluster.yaml"
    configuration.write_text(configuration.read_text() + "# ours\n")
    (debian / "etc/lariat/ca.key").write_text("secret")
    (debian / "var/lib/lariat/coordinator/journal.sqlite").write_text("jobs")
    (debian / "var/lib/lariat/models/model.gguf").write_text("model")
    inside("dpkg", "--install", "/tmp/lariat.deb")
    assert configuration.read_text().endswith("# ours\n")
    inside("apt-get", "purge", "-y", "-qq", "lariat")
    assert not configuration.exists() and not (debian / "var/lib/lariat/coordinator").exists()
    assert (debian / "etc/lariat/ca.key").exists() and (debian / "var/lib/lariat/models/model.gguf").exists()


def test_the_manual_page_names_every_command(binary, repository, tmp_path):
    page = tmp_path / "lariat.1"
    page.write_text(run(repository / "Ops/man", binary).stdout)
    assert run("mandoc", "-Tlint", "-W", "warning", page).stdout == ""
    text = run("mandoc", "-Tascii", "-O", "width=100", page).stdout
    text = re.sub(".\b", "", text)
    listed = re.findall(r"^  (\w+)  ", run(binary, "--help").stdout, re.M)
    assert {"up", "submit", "cluster"} < set(listed)
    for command in listed:
        assert re.search(rf"^   lariat {command}\b", text, re.M), f"{command} is missing"
    for option in ("--only name", "--json", "--max-tokens"):
        assert option in text
    assert re.search(r"^     64 +Wrong usage", text, re.M)
