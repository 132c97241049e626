# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine that is measured on, and the network namespaces that it is measured in."""

import contextlib
import ctypes
import os
import pathlib
import platform
import re
import shutil
import signal
import socket
import subprocess
import time

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


def run(command, **options):
    """Runs a command, given as a list or as a line for the shell, and returns what it prints."""
    options.setdefault("check", True)
    done = subprocess.run(command, shell=isinstance(command, str), capture_output=True, text=True, **options)
    return done.stdout


def description():
    """What a number means nothing without."""
    processor = re.search(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    memory = re.search(r"^MemTotal:\s*(\d+)", pathlib.Path("/proc/meminfo").read_text(), re.M)
    versions = {}
    for name, command in ("nftables", "nft"), ("iptables", "iptables"), ("firewalld", "firewall-offline-cmd"):
        if shutil.which(command):
            answer = run(f"{command} --version 2>&1 | tail -n 1", check=False).strip()
            versions[name] = answer if name in answer else f"{name} {answer}"
    return {
        "kernel": platform.release(),
        "processor": processor.group(1).strip() if processor else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(int(memory.group(1)) / 2**20, 1),
        "versions": versions,
        "load_before": os.getloadavg()[0],
    }


def setns(descriptor):
    if LIBC.setns(descriptor, CLONE_NEWNET) < 0:
        raise OSError(ctypes.get_errno(), "setns")


class Namespace:
    """A network namespace that lives as long as a process that waits in it."""

    def __init__(self):
        self.process = subprocess.Popen(
            ["unshare", "--net", "setpriv", "--pdeathsig", "KILL", "sh", "-c", "echo; exec sleep infinity"], stdout=subprocess.PIPE)
        self.process.stdout.readline()
        self.path = f"/proc/{self.process.pid}/ns/net"
        self.ip("link set lo up")

    @contextlib.contextmanager
    def entered(self):
        """What the calling thread starts meanwhile is born in here."""
        outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        inside = os.open(self.path, os.O_RDONLY)
        try:
            setns(inside)
            yield self
        finally:
            setns(outside)
            os.close(inside)
            os.close(outside)

    def run(self, command, **options):
        with self.entered():
            return run(command, **options)

    def ip(self, *lines):
        self.run(["ip", "-batch", "-"], input="\n".join(lines))

    def close(self):
        self.process.kill()
        self.process.wait()


class Gateway:
    """A client, a gateway and the world.

        lan 192.168.1.2 eth0 -- lan0 192.168.1.1 router ppp0 203.0.113.7 -- isp world 198.51.100.80
    """

    SERVER = "198.51.100.80"

    def __init__(self):
        self.lan, self.router, self.world = Namespace(), Namespace(), Namespace()
        self.router.ip(f"link add lan0 address 02:00:00:00:01:01 type veth peer name eth0 netns {self.lan.process.pid}")
        self.lan.ip(
            "link set eth0 address 02:00:00:00:01:02", "addr add 192.168.1.2/24 dev eth0", "link set eth0 up",
            "neigh replace 192.168.1.1 lladdr 02:00:00:00:01:01 dev eth0", "route add default via 192.168.1.1")
        self.router.ip(
            "addr add 192.168.1.1/24 dev lan0", "link set lan0 up",
            "neigh replace 192.168.1.2 lladdr 02:00:00:00:01:02 dev lan0")
        self.dial_up()
        self.router.run("echo 1 > /proc/sys/net/ipv4/ip_forward")

    def dial_up(self, address="203.0.113.7"):
        """What pppd does: a new interface, a point-to-point address, the default route."""
        # As on PPP nobody asks for hardware addresses: both ends have the same one.
        same = "address 02:00:00:00:00:01 arp off"
        self.router.ip(
            f"link add ppp0 type veth peer name isp netns {self.world.process.pid}", f"link set ppp0 {same}")
        self.world.ip(f"link set isp {same}", f"addr add 203.0.113.1 peer {address} dev isp", "link set isp up")
        self.router.ip(
            f"addr add {address} peer 203.0.113.1 dev ppp0", "link set ppp0 up", "route replace default dev ppp0")

    def hang_up(self):
        self.router.ip("link del ppp0")

    def close(self):
        for namespace in (self.lan, self.router, self.world):
            namespace.close()


class Masqd:
    """The daemon in a namespace, and what it tells a service manager."""

    def __init__(self, binary, namespace, folder, configuration, preload=None):
        self.path = folder / "masqd.toml"
        self.path.write_text(configuration)
        address = folder / "notify"
        address.unlink(missing_ok=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(address))
        self.socket.settimeout(60)
        environment = dict(os.environ, NOTIFY_SOCKET=str(address), **(preload or {}))
        with namespace.entered():
            start = time.perf_counter()
            self.process = subprocess.Popen(
                [binary, "--config", self.path], env=environment, stderr=(folder / "masqd.log").open("w"))
        self.wait_until_ready()
        self.seconds_to_ready = time.perf_counter() - start

    def drain(self):
        """Reads what was told and is of no interest, as a service manager does."""
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.socket.recv(65536)
        self.socket.settimeout(60)

    def wait_until_ready(self):
        while b"READY=1" not in self.socket.recv(65536):
            pass

    def reload(self, configuration=None):
        """The seconds from SIGHUP until the rules are in force."""
        if configuration is not None:
            self.path.write_text(configuration)
        start = time.perf_counter()
        self.process.send_signal(signal.SIGHUP)
        self.wait_until_ready()
        return time.perf_counter() - start

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait()
        self.socket.close()
