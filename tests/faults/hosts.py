"""Hosts on one machine: network namespaces with a cable each to a bridge, on which the servers listen. Root only."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

IP = shutil.which("ip") or ""


class NoNamespaces(Exception):
    """Network namespaces cannot be made here."""


@dataclass(frozen=True)
class Host:
    """A network namespace with an address of its own."""

    namespace: str
    cable: str
    address: str

    @property
    def enter(self) -> tuple[str, ...]:
        """Put this before a command, and it runs on this host."""
        return IP, "netns", "exec", self.namespace

    def cut_off(self) -> None:
        """Pull the cable: packets vanish in both directions."""
        _ip("link", "set", self.cable, "down")

    def bring_back(self) -> None:
        _ip("link", "set", self.cable, "up")


@dataclass(frozen=True)
class Network:
    """The bridge's own address, for the servers, and the hosts."""

    address: str
    hosts: tuple[Host, ...]


@contextmanager
def network(n_hosts: int) -> Iterator[Network]:
    """Make so many hosts; all of it is removed at the end. Raises NoNamespaces."""
    if os.geteuid() != 0 or not IP:
        raise NoNamespaces("network namespaces need root and the program ip (apt install iproute2)")
    name, subnet = f"fc{random.randrange(0x1000, 0x10000):x}", f"10.213.{random.randrange(1, 255)}"
    hosts = tuple(Host(f"{name}-{place}", f"{name}v{place}", f"{subnet}.{place + 2}") for place in range(n_hosts))
    try:
        _ip("link", "add", name, "type", "bridge")
        _ip("addr", "add", f"{subnet}.1/24", "dev", name)
        _ip("link", "set", name, "up")
        for host in hosts:
            _ip("netns", "add", host.namespace)
            _ip("link", "add", host.cable, "type", "veth", "peer", "name", "eth0", "netns", host.namespace)
            _ip("link", "set", host.cable, "master", name, "up")
            _ip("-n", host.namespace, "addr", "add", f"{host.address}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                _ip("-n", host.namespace, "link", "set", device, "up")
        yield Network(f"{subnet}.1", hosts)
    except subprocess.CalledProcessError as error:
        raise NoNamespaces(f"{' '.join(error.cmd)}: {error.stderr.decode().strip()}") from error
    finally:
        for arguments in (*(("netns", "del", host.namespace) for host in hosts), ("link", "del", name)):
            subprocess.run([IP, *arguments], check=False, capture_output=True)


def _ip(*arguments: str) -> None:
    subprocess.run([IP, *arguments], check=True, capture_output=True)
