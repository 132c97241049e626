#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""storms.py [-s SECONDS] MASQD [STORM...]: what masqd costs while somebody else never stops changing something.

Each storm runs in network namespaces of its own (root). Printed: the share of one core that masqd uses, the longest time
between two turns of its loop (MASQD_TRACE=loop), how long its table stays away when somebody deletes it meanwhile, and how
often it walked through the connections. masqd runs on the last CPU, all else on the others.
"""
import argparse
import ctypes
import fcntl
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
MASQUERADE = '[[masquerade]]\nout_interface = "ppp0"\nsource = ["192.168.0.0/16"]\n'
UPLINKS = MASQUERADE + '[[uplink]]\ninterface = "ppp0"\n'


def run(command, text=None):
    subprocess.run(command.split(), input=text, text=True, check=True, stdout=subprocess.DEVNULL)


class Gateway:
    """A LAN, a gateway and an outside; the caller's thread is in the gateway's namespace."""

    def __init__(self, name, configuration):
        self.names = [f"{name}-{part}" for part in "lgw"]
        self.lan, self.gateway, self.outside = self.names
        self.folder = tempfile.TemporaryDirectory()
        for each in self.names:
            run(f"ip netns add {each}")
            run(f"ip -n {each} link set lo up")
        run(f"ip link add e0 netns {self.lan} type veth peer name lan0 netns {self.gateway}")
        run(f"ip link add ppp0 netns {self.gateway} type veth peer name e0 netns {self.outside}")
        for where, link, address in [
            (self.lan, "e0", "192.168.50.2/16"), (self.gateway, "lan0", "192.168.0.1/16"),
            (self.gateway, "ppp0", "203.0.113.2/24"), (self.outside, "e0", "203.0.113.1/24"),
        ]:
            run(f"ip -n {where} addr add {address} dev {link}")
            run(f"ip -n {where} link set {link} up")
        run(f"ip -n {self.outside} route add 192.168.0.0/16 via 203.0.113.2")
        run(f"ip -n {self.outside} addr add 198.51.100.1/32 dev lo")
        run(f"ip -n {self.lan} route add default via 192.168.0.1")
        run(f"ip -n {self.gateway} route add default via 203.0.113.1")
        self.enter(self.gateway)
        run("sysctl -qw net.ipv4.ip_forward=1")
        self.path = f"{self.folder.name}/masqd.toml"
        with open(self.path, "w") as file:
            file.write(configuration)

    def enter(self, name):
        with open(f"/run/netns/{name}") as file:
            if LIBC.setns(file.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")

    def start(self, binary):
        # Not one file: what is opened once has one position for both, and masqd moves it.
        log = open(f"{self.folder.name}/log", "w")
        self.log = open(f"{self.folder.name}/log", errors="replace")
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = f"{self.folder.name}/notify"
        notify.bind(path)
        environment = dict(os.environ, NOTIFY_SOCKET=path, MASQD_TRACE="loop")
        cpu = os.cpu_count() - 1
        self.process = subprocess.Popen(
            ["taskset", "-c", str(cpu), binary, "--config", self.path], stderr=log, env=environment)
        notify.settimeout(60)
        while b"READY=1" not in notify.recv(8192):
            pass
        threading.Thread(target=self.discard, args=(notify,), daemon=True).start()

    def discard(self, notify):
        notify.settimeout(None)
        while notify.recv(8192):
            pass

    def connections(self, count):
        """Makes masqd's gateway remember connections, by packets from the LAN."""
        run("sysctl -qw net.netfilter.nf_conntrack_udp_timeout=900")
        child = os.fork()
        if child == 0:
            self.enter(self.lan)
            left = count
            for host in range(100, 250):
                for port in range(1024, 60000):
                    if left == 0:
                        os._exit(0)
                    # Each socket is one flow; a few thousand at a time.
                    if (count - left) % 1000 == 0:
                        source = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                        source.bind(("", 0))
                    source.sendto(b"x", (f"198.51.100.{host}", port))
                    left -= 1
            os._exit(0)
        os.waitpid(child, 0)

    def used(self):
        fields = open(f"/proc/{self.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def heal(self):
        """Deletes the table and says how long it was away, in milliseconds; nothing where it did not come back."""
        subprocess.run(["nft", "delete", "table", "inet", "masqd"], stderr=subprocess.DEVNULL)
        begin = time.monotonic()
        while time.monotonic() - begin < 10:
            if subprocess.run(
                ["nft", "list", "chain", "inet", "masqd", "forward"], stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL).returncode == 0:
                return (time.monotonic() - begin) * 1000
        return None

    def close(self):
        self.process.kill()
        self.process.wait()
        for name in self.names:
            run(f"ip netns del {name}")
        self.folder.cleanup()


def ip_batch(stop, lines, rate):
    """Feeds `ip` with the lines again and again, so many times a second."""
    child = subprocess.Popen(["ip", "-force", "-batch", "-"], stdin=subprocess.PIPE, text=True,
                             stderr=subprocess.DEVNULL)
    while not stop.is_set():
        child.stdin.write(lines)
        child.stdin.flush()
        stop.wait(1 / rate)
    child.stdin.close()
    child.wait()


def reserve_route(stop, rate):
    ip_batch(stop, "route add default via 203.0.113.1 metric 900\nroute del default via 203.0.113.1 metric 900\n", rate)


def best_route(stop, rate):
    ip_batch(stop, "route replace default via 203.0.113.9\nroute replace default via 203.0.113.1\n", rate)


def advertisements(stop, gateway, rate):
    """The outside's router advertises itself, and takes it back the next time."""
    child = os.fork()
    if child == 0:
        gateway.enter(gateway.outside)
        sender = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 58)
        sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        index = socket.if_nametoindex("e0")
        sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        lifetime = 0
        while True:
            lifetime = 1800 - lifetime
            sender.sendto(struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, lifetime, 0, 0), ("ff02::1", 0, 0, index))
            time.sleep(1 / rate)
    stop.wait()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def tunnel(stop, rate):
    """A VPN in user space makes its tunnel anew again and again."""
    control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    count = 0
    while not stop.is_set():
        count += 1
        tun = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH22x", b"tun0", 0x1001))
        address = socket.inet_aton(f"10.66.0.{count % 200 + 1}")
        fcntl.ioctl(control, 0x8916, struct.pack("16sHH4s8x", b"tun0", socket.AF_INET, 0, address))
        fcntl.ioctl(control, 0x8914, struct.pack("16sH22x", b"tun0", 0x41))
        stop.wait(0.5 / rate)
        os.close(tun)
        stop.wait(0.5 / rate)


def reloads(stop, gateway):
    while not stop.is_set():
        gateway.process.send_signal(signal.SIGHUP)
        time.sleep(0.0002)


def many_links(count):
    run("ip -batch -", "".join(
        f"link add mv{i} link lan0 type macvlan\naddr add 10.{i >> 8}.{i & 255}.1/32 dev mv{i}\n" for i in range(count)))


def many_routes(count):
    run("ip -batch -", "".join(
        f"route add {20 + (i >> 16)}.{i >> 8 & 255}.{i & 255}.0/24 via 203.0.113.1\n" for i in range(count)))


# name: configuration, what is there before masqd starts, connections, the storm
STORMS = {
    "reserve-5": (MASQUERADE, None, 100_000, lambda stop, gateway: reserve_route(stop, 5)),
    "default-5": (MASQUERADE, None, 100_000, lambda stop, gateway: best_route(stop, 5)),
    "default-300": (MASQUERADE, None, 100_000, lambda stop, gateway: best_route(stop, 300)),
    "default-300-idle": (MASQUERADE, None, 0, lambda stop, gateway: best_route(stop, 300)),
    "advertisements": (MASQUERADE, None, 100_000, lambda stop, gateway: advertisements(stop, gateway, 20)),
    "tunnel-5000-links": (MASQUERADE, lambda: many_links(5000), 0, lambda stop, gateway: tunnel(stop, 10)),
    "uplink-300000-routes": (UPLINKS, lambda: many_routes(300_000), 0, lambda stop, gateway: best_route(stop, 5)),
    "reloads": (MASQUERADE, None, 0, reloads),
}


def measure(binary, name, seconds):
    configuration, prepare, connections, storm = STORMS[name]
    gateway = Gateway(f"st{os.getpid()}", configuration)
    if prepare:
        prepare()
    gateway.start(binary)
    if connections:
        gateway.connections(connections)
    time.sleep(2)
    stop = threading.Event()
    thread = threading.Thread(target=storm, args=(stop, gateway))
    thread.start()
    time.sleep(1)
    gateway.log.seek(0, os.SEEK_END)
    begin, used = time.monotonic(), gateway.used()
    time.sleep(seconds)
    share = (gateway.used() - used) / (time.monotonic() - begin) * 100
    trace = gateway.log.read()
    heals = []
    for _ in range(5):
        heals.append(gateway.heal())
        time.sleep(1.1)
    stop.set()
    thread.join()
    if os.environ.get("STORMS_LOG"):
        gateway.log.seek(0)
        with open(os.environ["STORMS_LOG"], "w") as file:
            file.write(gateway.log.read())
    gateway.close()
    # Before the table was deleted: to restore it, with 100 000 connections, takes the kernel 100 ms in one system call
    # (`nf_ct_tcp_fixup` in net/netfilter/nf_conntrack_proto.c).
    turns = [(int(time), int(cpu)) for time, cpu in re.findall(r"held up for (\d+) us \((\d+) us", trace)]
    walks = trace.count("trace: lists the connections")
    longest = max(turns, default=(0, 0))
    away = "never" if None in heals else f"{max(heals):.0f} ms"
    print(f"{name:22} CPU {share:5.1f} %   turn {longest[0] / 1000:6.1f} ms ({max((c for _, c in turns), default=0) / 1000:.1f} of CPU)"
          f"   table away {away:>8}   walks {walks}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-s", type=float, default=6, metavar="SECONDS")
    parser.add_argument("masqd")
    parser.add_argument("storm", nargs="*", choices=[[], *STORMS])
    arguments = parser.parse_args()
    if os.cpu_count() > 1:
        os.sched_setaffinity(0, range(os.cpu_count() - 1))
    for name in arguments.storm or STORMS:
        # A process for each: what enters a namespace does not come back.
        child = os.fork()
        if child == 0:
            measure(os.path.realpath(arguments.masqd), name, arguments.s)
            sys.stdout.flush()
            os._exit(0)
        os.waitpid(child, 0)


main()
