"""Certificates for tests of TLS, made with openssl: an authority, and what it certifies for 127.0.0.1 and localhost."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

DAYS = "2"
CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", DAYS)


@dataclass(frozen=True)
class Certificate:
    """A certificate and its private key, as PEM files."""

    certificate: Path
    key: Path

    def both(self) -> Path:
        """Return a file with the key and the certificate."""
        file = self.certificate.with_suffix(".both.pem")
        file.write_text(self.key.read_text() + self.certificate.read_text())
        return file


@dataclass(frozen=True)
class Authority(Certificate):
    """A certificate authority; clients that trust `certificate` trust all that it has issued."""

    def issue(self, name: str, host: str = "localhost") -> Certificate:
        """Issue a certificate for a server on this machine, or for the client `name`."""
        made = _files(self.certificate.parent, name)
        _openssl(
            *("req", "-x509", *CURVE, "-subj", f"/CN={name}", "-keyout", made.key, "-out", made.certificate),
            *("-CA", self.certificate, "-CAkey", self.key),
            *("-addext", f"subjectAltName=DNS:{host},IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"),
        )
        return made

    def expired(self, name: str) -> Certificate:
        """Issue a certificate for this machine that has expired."""
        made, names = self.issue(name), self.certificate.with_name(f"{name}.names")
        names.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
        request = names.with_suffix(".request")
        _openssl("req", "-new", "-key", made.key, "-subj", f"/CN={name}", "-out", request)
        sign = ("-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial", "-days", "0", "-extfile", names)
        _openssl("x509", "-req", "-in", request, *sign, "-out", made.certificate)
        return made


def authority(folder: Path, name: str = "authority") -> Authority:
    """Make a certificate authority in `folder`."""
    made = _files(folder, name)
    _openssl(
        *("req", "-x509", *CURVE, "-subj", f"/CN={name}", "-keyout", made.key, "-out", made.certificate),
        *("-addext", "keyUsage=critical,keyCertSign"),
    )
    return Authority(made.certificate, made.key)


def _files(folder: Path, name: str) -> Certificate:
    return Certificate(folder / f"{name}.pem", folder / f"{name}.key")


def _openssl(*arguments: object) -> None:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
