# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is compared: each puts the same masquerading into a namespace of its own, in its own way."""

import os
import pathlib
import shutil
import signal
import subprocess
import time

import machine

ESTABLISHED = "FORWARD -d 192.168.0.0/16 -m state --state ESTABLISHED,RELATED -i ppp0 -j ACCEPT"
THREE_LINES = (
    "nat POSTROUTING -s 192.168.0.0/16 -o ppp0 -j MASQUERADE",
    "filter FORWARD -s 192.168.0.0/16 -o ppp0 -j ACCEPT",
    f"filter {ESTABLISHED}",
)
# The same three lines as a person would write them for nft.
BY_HAND = """
table ip nat {
    chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr 192.168.0.0/16 oifname "ppp0" masquerade
    }
}
table ip filter {
    chain forward {
        type filter hook forward priority filter; policy accept;
        ip saddr 192.168.0.0/16 oifname "ppp0" accept
        ip daddr 192.168.0.0/16 iifname "ppp0" ct state established,related accept
    }
}
"""
HOW_TO = ["192.168.0.0/16"]


def spaced(number):
    return f"{number:,}".replace(",", " ")


def addresses(count):
    """So many networks that do not touch."""
    return [f"10.{i >> 12}.{i >> 4 & 255}.{i % 16 * 16}/29" for i in range(count)]


def listed(networks):
    return "[\n" + "".join(f'    "{network}",\n' for network in networks) + "]\n"


def configuration(sources):
    return f'[[masquerade]]\nout_interface = "ppp0"\nsource = {listed(sources)}'


class Networks:
    """Networks to masquerade; one more, or one less, is the change."""

    changed_set, changed_key, changed_data = "masquerade_1_source", "172.31.0.0/24", ""
    thing = "network"

    def __init__(self, count=1):
        self.sources = addresses(count) if count > 1 else HOW_TO
        self.is_large = count > 1
        self.name = f"networks-{count}"
        self.title = f"{spaced(count)} networks" if self.is_large else "the how-to's network"

    def text(self, more=False):
        return configuration(self.sources + [self.changed_key] if more else self.sources)


class Forwards:
    """Port forwards, each with a table of its own in the file."""

    changed_set, changed_key, changed_data = "port_forward_ppp0", "tcp . 9", " : 192.168.5.10 . 9"
    thing, is_large = "port forward", True

    def __init__(self, count):
        self.ports = range(10000, 10000 + count)
        self.name = f"forwards-{count}"
        self.title = f"{spaced(count)} port forwards"

    def text(self, more=False):
        ports = [*self.ports, 9] if more else self.ports
        return configuration(HOW_TO) + "".join(
            f'\n[[port_forward]]\nport = {port}\nto = "192.168.5.10"\n' for port in ports)


class Blocked:
    """Networks that nobody inside may connect to."""

    changed_set, changed_key, changed_data = "blocked_destinations", "172.31.0.0/24", ""
    thing, is_large = "blocked network", True

    def __init__(self, count):
        self.networks = addresses(count)
        self.name = f"blocked-{count}"
        self.title = f"{spaced(count)} blocked networks"

    def text(self, more=False):
        networks = self.networks + [self.changed_key] if more else self.networks
        return configuration(HOW_TO) + f"\n[destinations]\nblocked = {listed(networks)}"


# Everything that forwarded packets can meet, switched on.
EVERYTHING = configuration(HOW_TO) + """
[[port_forward]]
port = "8000-8010"
to = "192.168.5.10"

[clients]
blocked = ["192.168.66.0/24"]
max_connections = 1000000
new_connections = "100000/second burst 100000"

[destinations]
blocked = ["198.18.0.0/15"]

[accounting]
blocks = true
clients = true
forwards = true

[conntrack]
timeouts = "rfc"
helpers = ["ftp", "sip"]

[log]
drops = "nflog"

[forward]
policy = "drop"
"""


def timed(command, **options):
    start = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **options)
    elapsed = time.perf_counter() - start
    if done.returncode != 0:
        raise RuntimeError(f"{command}: {done.stderr}")
    return elapsed


class Contender:
    """One way to load a file's rules, to load them again, and to change one element.

    Each method returns the seconds until the rules are in force; None where there is no such thing.
    """

    def __init__(self, tools, folder, workload):
        self.tools, self.workload = tools, workload
        self.folder = folder / type(self).__name__
        self.folder.mkdir(parents=True, exist_ok=True)
        self.namespace = machine.Namespace()

    def cold(self):
        raise NotImplementedError

    def again(self):
        return None

    def change(self, add):
        return None

    def clear(self):
        """Back to where `cold` begins; not measured."""
        self.namespace.run("nft flush ruleset")

    def timed(self, command, **options):
        with self.namespace.entered():
            return timed(command, **options)

    def close(self):
        self.namespace.close()


class Masqd(Contender):
    title = "masqd"
    daemon = None

    def cold(self):
        self.daemon = machine.Masqd(self.tools.masqd, self.namespace, self.folder, self.workload.text())
        return self.daemon.seconds_to_ready

    def again(self):
        return self.daemon.reload()

    def change(self, add):
        return self.daemon.reload(self.workload.text(more=add))

    def clear(self):
        self.daemon.stop()

    def close(self):
        if self.daemon.process.poll() is None:
            self.daemon.stop(signal.SIGKILL)
        super().close()


class Floor(Contender):
    """masqd's own batches, which it is made to write down first."""

    title = "a C program that sends masqd's batch"

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.batches = {name: self.folder / name for name in ("cold", "add", "delete")}
        recorded = self.folder / "recorded"
        preload = {"LD_PRELOAD": str(self.tools.recorder), "RECORD_BATCH": str(recorded)}
        daemon = machine.Masqd(
            self.tools.masqd, self.namespace, self.folder, self.workload.text(), preload)
        recorded.rename(self.batches["cold"])
        for name, more in ("add", True), ("delete", False):
            daemon.reload(self.workload.text(more))
            recorded.rename(self.batches[name])
        daemon.stop()

    def cold(self):
        return self.timed([self.tools.sender, self.batches["cold"]])

    def change(self, add):
        return self.timed([self.tools.sender, self.batches["add" if add else "delete"]])


class Nft(Contender):
    title = "nft -f, the same rules"

    def __init__(self, *arguments):
        super().__init__(*arguments)
        path = self.folder / "masqd.toml"
        path.write_text(self.workload.text())
        text = machine.run([self.tools.masqd, "--print", path])
        self.cold_path, self.again_path = self.folder / "cold.nft", self.folder / "again.nft"
        self.cold_path.write_text(text)
        # How a ruleset is replaced as a whole.
        self.again_path.write_text("table inet masqd\ndelete table inet masqd\n" + text)

    def cold(self):
        return self.timed(["nft", "-f", self.cold_path])

    def again(self):
        return self.timed(["nft", "-f", self.again_path])

    def change(self, add):
        load = self.workload
        verb, element = ("add", load.changed_key + load.changed_data) if add else ("delete", load.changed_key)
        return self.timed(["nft", verb, "element", "inet", "masqd", load.changed_set, f"{{ {element} }}"])


class IptablesRestore(Contender):
    title = "iptables-restore, a rule for each network"

    def __init__(self, *arguments):
        super().__init__(*arguments)
        masquerade = "".join(f"-A POSTROUTING -s {source} -o ppp0 -j MASQUERADE\n" for source in self.workload.sources)
        self.path = self.folder / "rules"
        self.path.write_text(
            f"*nat\n:POSTROUTING ACCEPT [0:0]\n{masquerade}COMMIT\n"
            "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -s 192.168.0.0/16 -o ppp0 -j ACCEPT\n"
            f"-A {ESTABLISHED}\nCOMMIT\n")

    def cold(self):
        return self.timed(["iptables-restore", self.path])

    def again(self):
        return self.cold()

    def change(self, add):
        verb = "-A" if add else "-D"
        return self.timed(["iptables", "-t", "nat", verb, "POSTROUTING", "-s", Networks.changed_key, "-o", "ppp0", "-j", "MASQUERADE"])


class ThreeCommands(Contender):
    title = "the how-to's three iptables commands"

    def commands(self, verb):
        for line in THREE_LINES:
            table, chain, *rest = line.split()
            yield ["iptables", "-t", table, verb, chain, *rest]

    def cold(self):
        return sum(self.timed(command) for command in self.commands("-A"))

    def again(self):
        # To add them again would double them: -C finds them.
        return sum(self.timed(command) for command in self.commands("-C"))


class Firewalld(Contender):
    """firewalld with a D-Bus of its own, its permanent files in a folder of ours."""

    title = "firewalld"
    daemon = None

    @staticmethod
    def is_there():
        is_root = os.getuid() == 0 and "4294967295" in pathlib.Path("/proc/self/uid_map").read_text()
        return is_root and all(map(shutil.which, ("firewalld", "firewall-cmd", "dbus-daemon")))

    def __init__(self, *arguments):
        super().__init__(*arguments)
        bus = self.folder / "bus"
        (self.folder / "bus.conf").write_text(
            '<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"\n'
            ' "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">\n'
            f'<busconfig><listen>unix:path={bus}</listen><policy context="default"><allow own="*"/>'
            '<allow send_destination="*"/><allow receive_sender="*"/><allow user="*"/></policy></busconfig>\n')
        self.environment = dict(os.environ, DBUS_SYSTEM_BUS_ADDRESS=f"unix:path={bus}")
        with self.namespace.entered():
            self.bus = subprocess.Popen(
                ["dbus-daemon", "--nofork", "--nopidfile", f"--config-file={self.folder}/bus.conf"],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not bus.exists():
            if self.bus.poll() is not None:
                raise RuntimeError("dbus-daemon ended")
            time.sleep(0.01)
        entries = "".join(f"<entry>{source}</entry>" for source in self.workload.sources)
        for path, text in {
            "zones/external.xml": '<zone><interface name="ppp0"/><masquerade/><forward/></zone>',
            "zones/internal.xml": '<zone><source ipset="lan"/><forward/></zone>',
            "ipsets/lan.xml": f'<ipset type="hash:net">{entries}</ipset>',
            "policies/out.xml": '<policy target="ACCEPT"><ingress-zone name="internal"/>'
                                '<egress-zone name="external"/></policy>',
        }.items():
            path = self.folder / "etc" / path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n')

    def cold(self):
        start = time.perf_counter()
        with self.namespace.entered():
            self.daemon = subprocess.Popen(
                ["firewalld", "--nofork", "--nopid", f"--system-config={self.folder}/etc",
                 f"--log-file={self.folder}/log"], env=self.environment,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # Its policy is the last thing that it puts into the kernel.
        while "policy_out" not in self.namespace.run("nft -t list chains inet 2>/dev/null", check=False):
            if self.daemon.poll() is not None:
                raise RuntimeError("firewalld ended")
            time.sleep(0.005)
        elapsed = time.perf_counter() - start
        while "running" not in self.namespace.run(["firewall-cmd", "--state"], env=self.environment, check=False):
            time.sleep(0.1)
        return elapsed

    def again(self):
        return self.timed(["firewall-cmd", "--reload"], env=self.environment)

    def change(self, add):
        verb = "add" if add else "remove"
        return self.timed(["firewall-cmd", "--ipset=lan", f"--{verb}-entry={Networks.changed_key}"], env=self.environment)

    def clear(self):
        self.daemon.terminate()
        self.daemon.wait()
        super().clear()

    def close(self):
        for process in (self.daemon, self.bus):
            if process.poll() is None:
                process.kill()
                process.wait()
        super().close()
