#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""bench.py MASQD TOOLS JSON: masqd beside the other ways to masquerade, in one run, in turns.

Run it by `make bench`: it needs a network namespace to itself. MASQD is the daemon, TOOLS the folder of the programs
compiled from this folder, JSON the file that everything measured is written to. What is printed is Markdown.
QUICK=1: few rounds and small sets, to see that it works.
"""

import collections
import json
import os
import pathlib
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import contenders
import machine

QUICK = os.environ.get("QUICK") == "1"
LARGE = 5_000 if QUICK else 50_000
Tools = collections.namedtuple("Tools", "masqd sender recorder bursts")


class Scenario:
    """One table: for each contender what was measured, the first one being what the others are compared with."""

    def __init__(self, title, unit, digits=1):
        self.title, self.unit, self.digits = title, unit, digits
        self.samples = {}

    def add(self, contender, value):
        self.samples.setdefault(contender, []).append(value)

    def order(self, titles):
        """Whoever was measured first, the rows come in this order."""
        self.samples = {title: self.samples[title] for title in titles if title in self.samples}

    def summary(self):
        rows = []
        base = None
        for contender, samples in self.samples.items():
            median = statistics.median(samples)
            base = median if base is None else base
            rows.append({
                "contender": contender, "median": median, "minimum": min(samples), "maximum": max(samples),
                "ratio": median / base if base else None, "samples": samples,
            })
        return {"title": self.title, "unit": self.unit, "rows": rows}

    def number(self, value):
        return f"{value:,.{self.digits}f}".replace(",", " ")

    def print(self):
        rows = [(self.title, self.unit, "min … max", "ratio", "n")]
        for row in self.summary()["rows"]:
            ratio = "" if row["ratio"] is None else f"{row['ratio']:.3g}"
            spread = f"{self.number(row['minimum'])} … {self.number(row['maximum'])}"
            rows.append((row["contender"], self.number(row["median"]), spread, ratio, str(len(row["samples"]))))
        print_table(rows)


def print_table(rows):
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for index, row in enumerate(rows):
        cells = [cell.ljust(width) if column == 0 else cell.rjust(width)
                 for column, (cell, width) in enumerate(zip(row, widths))]
        print("| " + " | ".join(cells) + " |")
        if index == 0:
            print("|" + "|".join(
                "-" * (width + 1) + ("-" if column == 0 else ":") for column, width in enumerate(widths)) + "|")
    print(flush=True)


# What README shows: masqd's own median, and how many times that the others need.
COLUMNS = {
    "C, masqd's batch": [contenders.Floor.title],
    "nft": [contenders.Nft.title, "the how-to's three lines in nft"],
    "iptables-restore": [contenders.IptablesRestore.title],
    "iptables": [contenders.ThreeCommands.title, "iptables rules set again by an ip-up hook"],
    "firewalld": [contenders.Firewalld.title + ", the how-to's network", contenders.Firewalld.title],
}


def print_summary(scenarios):
    rows = [("median", "masqd", *(f"{column}, ×" for column in COLUMNS))]
    for scenario in scenarios:
        summary = scenario.summary()["rows"]
        ratios = {row["contender"]: row["ratio"] for row in summary}
        cells = []
        for titles in COLUMNS.values():
            ratio = next((ratios[title] for title in titles if ratios.get(title) is not None), None)
            cells.append("" if ratio is None else f"{ratio:.2f}" if ratio < 10 else f"{ratio:,.0f}".replace(",", " "))
        rows.append((scenario.title, f"{scenario.number(summary[0]['median'])} {scenario.unit}", *cells))
    print_table(rows)


def progress(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def rotated(things, by):
    by %= len(things)
    return things[by:] + things[:by]


def measure_commits(tools, folder, workload, rounds, slow_rounds=0):
    """Cold, again and one change, each contender in turn."""
    large, size = workload.is_large, workload.title
    has_networks = isinstance(workload, contenders.Networks)
    cold = Scenario(f"From nothing, {size}", "ms")
    again = Scenario(f"Again without a change, {size}", "ms")
    change = Scenario(f"One {workload.thing} more or less, beside {size}", "ms", 2)
    kinds = [contenders.Masqd, contenders.Floor, contenders.Nft]
    if has_networks:
        kinds.append(contenders.IptablesRestore)
    if not large:
        kinds.append(contenders.ThreeCommands)
    if has_networks and contenders.Firewalld.is_there() and not (large and QUICK):
        kinds.append(contenders.Firewalld)
    entrants = [kind(tools, folder / workload.name, workload) for kind in kinds]
    slow = (contenders.Firewalld, contenders.IptablesRestore) if large else (contenders.Firewalld,)
    try:
        # The first round is not counted: memory that is touched for the first time is slow.
        for round in range(rounds + 1):
            for entrant in rotated(entrants, round):
                is_slow = isinstance(entrant, slow)
                if is_slow and round > slow_rounds:
                    continue
                # It has not touched the kernel before its first round is over; with many networks once is enough.
                if isinstance(entrant, contenders.Firewalld) and (round == 0 or large and round > 1):
                    continue
                progress(f"{size}: round {round} of {rounds}, {entrant.title}")
                measured = [(cold, entrant.cold())]
                try:
                    measured.append((again, entrant.again()))
                    measured += [(change, entrant.change(add)) for add in (True, False)]
                except RuntimeError as failure:
                    progress(f"not measured: {failure}")  # firewalld's D-Bus calls end after 25 s
                entrant.clear()
                for scenario, seconds in measured:
                    if seconds is not None and round > 0:
                        scenario.add(entrant.title, seconds * 1000)
    finally:
        for entrant in entrants:
            entrant.close()
    for scenario in (cold, again, change):
        scenario.order([kind.title for kind in kinds])
    return [cold, again, change]


def measure_waiting(tools, folder, seconds):
    """What a program that waits for something to happen takes."""
    memory = Scenario("Memory while waiting", "MB", 1)
    threads = Scenario("Threads", "", 0)
    wakes = Scenario(f"Times that it ran, in {seconds} s of waiting", "", 0)

    def status(pid, key):
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{key}:"):
                return int(line.split()[1])
        return 0

    def runs(pid):
        tasks = pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[2]) for task in tasks)

    how_to = contenders.Networks()
    entrants = [(contenders.Masqd, how_to), (contenders.Masqd, contenders.Networks(LARGE))]
    if contenders.Firewalld.is_there() and not QUICK:
        entrants.append((contenders.Firewalld, how_to))
    waiting = []
    for index, (kind, workload) in enumerate(entrants):
        entrant = kind(tools, folder / f"waiting-{index}", workload)
        entrant.cold()
        waiting.append((entrant, f"{entrant.title}, {workload.title}"))
    pids = [(title, entrant.daemon.process.pid if isinstance(entrant, contenders.Masqd) else entrant.daemon.pid)
            for entrant, title in waiting]
    pids += [("firewalld's dbus-daemon", entrant.bus.pid) for entrant, _ in waiting
             if isinstance(entrant, contenders.Firewalld)]
    time.sleep(2)
    before = {pid: runs(pid) for _, pid in pids}
    time.sleep(seconds)
    for title, pid in pids:
        wakes.add(title, runs(pid) - before[pid])
        memory.add(title, status(pid, "VmRSS") / 1024)
        threads.add(title, status(pid, "Threads"))
    for entrant, _ in waiting:
        entrant.close()
    return [memory, threads, wakes]


class Stream:
    """A client that begins a flow 2 000 times a second, and a server that notes when it sees which address."""

    def __init__(self, gateway):
        self.seen = []
        gateway.world.ip(f"addr add {gateway.SERVER}/32 dev lo")
        with gateway.world.entered():
            self.server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.server.bind((gateway.SERVER, 9))
        self.server.settimeout(0.2)
        self.is_over = False
        self.thread = threading.Thread(target=self.collect)
        self.thread.start()
        with gateway.lan.entered():
            self.client = subprocess.Popen([sys.executable, "-c", (
                "import socket, time\n"
                "while True:\n"
                "    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:\n"
                f"        s.sendto(b'x', ('{gateway.SERVER}', 9))\n"
                "    time.sleep(0.0004)\n")])

    def collect(self):
        while not self.is_over:
            try:
                _, (address, _) = self.server.recvfrom(64)
                self.seen.append((time.perf_counter(), address))
            except TimeoutError:
                pass

    def close(self):
        self.client.kill()
        self.client.wait()
        self.is_over = True
        self.thread.join()
        self.server.close()


def measure_flaps(tools, folder, rounds):
    """ppp0 goes and comes back with another index and another address, while the client goes on."""
    first = Scenario("ppp0 comes back: first translated packet", "ms")
    leaks = Scenario("Packets with a private source that a flap let out", "", 0)
    work = Scenario("CPU for a flap, with 2 000 new flows a second", "ms", 3)
    daemon = None

    def with_masqd(gateway):
        nonlocal daemon
        folder.mkdir(parents=True, exist_ok=True)
        daemon = machine.Masqd(tools.masqd, gateway.router, folder, contenders.configuration(contenders.HOW_TO))

    def with_rules(gateway):
        for line in contenders.THREE_LINES:
            table, chain, *rest = line.split()
            gateway.router.run(["iptables", "-t", table, "-A", chain, *rest])

    def hook(gateway):
        """/etc/ppp/ip-up.d as many have it: out with the old rules, in with them again."""
        for verb in ("-D", "-A"):
            for line in contenders.THREE_LINES:
                table, chain, *rest = line.split()
                gateway.router.run(["iptables", "-t", table, verb, chain, *rest])

    def nothing(gateway):
        pass

    def daemon_cpu():
        path = pathlib.Path(f"/proc/{daemon.process.pid}/schedstat") if daemon else None
        return int(path.read_text().split()[0]) / 1e9 if path else 0

    def commands_cpu():
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    entrants = [
        ("masqd", with_masqd, nothing), ("iptables rules that stay", with_rules, nothing),
        ("iptables rules set again by an ip-up hook", with_rules, hook),
    ]
    for title, prepare, on_ip_up in entrants:
        progress(f"flaps: {title}")
        gateway = machine.Gateway()
        prepare(gateway)
        stream = Stream(gateway)
        try:
            for round in range(rounds + 1):
                address = f"203.0.113.{10 + round}"
                if daemon:
                    daemon.drain()
                work_before = daemon_cpu()
                gateway.hang_up()
                time.sleep(0.2)
                begin = time.perf_counter()
                gateway.dial_up(address)
                commands_before = commands_cpu()
                on_ip_up(gateway)
                commands = commands_cpu() - commands_before
                time.sleep(0.3)
                since = [(when, who) for when, who in stream.seen if when > begin]
                times = [when for when, who in since if who == address]
                if round == 0:
                    continue
                if times:
                    first.add(title, (times[0] - begin) * 1000)
                leaks.add(title, sum(who.startswith("192.168.") for _, who in since))
                work.add(title, (daemon_cpu() - work_before + commands) * 1000)
        finally:
            stream.close()
            if daemon:
                daemon.stop()
                daemon = None
            gateway.close()
    return [first, leaks, work]


def measure_packets(tools, folder, rounds, new_rounds):
    """What one packet costs on its way through the gateway, each contender in namespaces of its own."""
    established = Scenario("Forwarding one packet of an established UDP flow", "ns", 0)
    new = Scenario("Forwarding the first packet of a new UDP flow", "ns", 0)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "print.toml"
    path.write_text(contenders.configuration(contenders.HOW_TO))
    printed = machine.run([tools.masqd, "--print", path])
    path.write_text(contenders.EVERYTHING)
    everything = machine.run([tools.masqd, "--print", path])
    gateways, daemon = {}, None
    for title, rules in (
        ("masqd", None), ("masqd's rules with everything switched on, by nft -f", everything), ("the same rules by nft -f (control)", printed), ("the how-to's three lines in nft", contenders.BY_HAND),
        ("the how-to's three iptables commands", contenders.THREE_LINES), ("no rules: forwarded only", ""),
    ):
        gateway = gateways[title] = machine.Gateway()
        if rules is None:
            daemon = machine.Masqd(tools.masqd, gateway.router, folder, contenders.configuration(contenders.HOW_TO))
        elif isinstance(rules, str):
            gateway.router.run(["nft", "-f", "-"], input=rules)
        else:
            for line in rules:
                table, chain, *rest = line.split()
                gateway.router.run(["iptables", "-t", table, "-A", chain, *rest])
        gateway.world.ip("route add 192.168.0.0/16 dev isp", f"addr add {gateway.SERVER}/32 dev lo")
        with gateway.world.entered():
            server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with gateway.lan.entered():
            client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind((gateway.SERVER, 9))
        client.bind(("192.168.1.2", 40000))
        server.settimeout(5)
        client.settimeout(5)
        # A flow of UDP is established once it was answered, and a stream after the next packet.
        for _ in range(2):
            client.sendto(b"question", (gateway.SERVER, 9))
            server.sendto(b"answer", server.recvfrom(64)[1])
            client.recv(64)
        server.close()
        # From here on the world throws away what comes, as early as it can.
        gateway.world.ip(f"addr del {gateway.SERVER}/32 dev lo", f"route add blackhole {gateway.SERVER}/32")
        gateway.client = client
    paths = [gateway.lan.path for gateway in gateways.values()]
    for scenario, mode, bursts, parts in ((established, "established", rounds, 8), (new, "new", new_rounds, 4)):
        progress(f"packets: {mode}")
        lines = machine.run([tools.bursts, mode, str(bursts), *paths]).splitlines()
        for title, line in zip(gateways, lines):
            times = [float(word) for word in line.split()]
            # The 10th percentile of each part: what the packet costs when nothing else disturbs it.
            for part in range(parts):
                piece = sorted(times[part::parts])
                scenario.add(title, piece[len(piece) // 10])
    daemon.stop()
    for gateway in gateways.values():
        gateway.client.close()
        gateway.close()
    return [established, new]


def main():
    masqd, tools_folder, output = (pathlib.Path(argument).resolve() for argument in sys.argv[1:4])
    tools = Tools(masqd, tools_folder / "send-batch", tools_folder / "record-batch.so", tools_folder / "bursts")
    report = {"quick": QUICK, "machine": machine.description()}
    scenarios = []
    report["machine"]["versions"]["masqd"] = machine.run([masqd, "--version"]).strip()
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="masqd-bench-") as name:
        folder = pathlib.Path(name)
        for measure in (
            lambda: measure_packets(tools, folder / "packets", 800 if QUICK else 6400, 100 if QUICK else 400),
            lambda: measure_commits(tools, folder, contenders.Networks(), 3 if QUICK else 20, 1 if QUICK else 3),
            lambda: measure_flaps(tools, folder / "flaps", 3 if QUICK else 15),
            lambda: measure_waiting(tools, folder, 3 if QUICK else 10),
            lambda: measure_commits(tools, folder, contenders.Networks(LARGE), 2 if QUICK else 7, 1 if QUICK else 2),
            lambda: measure_commits(tools, folder, contenders.Forwards(LARGE), 2 if QUICK else 5),
            lambda: measure_commits(tools, folder, contenders.Blocked(2 * LARGE), 2 if QUICK else 5),
        ):
            for scenario in measure():
                scenario.print()
                scenarios.append(scenario)
    print_summary(scenarios)
    report["scenarios"] = [scenario.summary() for scenario in scenarios]
    about = report["machine"]
    about["load_after"] = os.getloadavg()[0]
    report["seconds"] = round(time.monotonic() - start)
    output.write_text(json.dumps(report, indent=1) + "\n")
    versions = ", ".join(filter(None, about["versions"].values()))
    print(f"{about['processor']}, {about['cores']} cores, {about['memory_gib']} GiB, Linux {about['kernel']}; {versions}; "
          f"load {about['load_before']:.1f} before and {about['load_after']:.1f} after; {report['seconds']} s; {output}")


if __name__ == "__main__":
    main()
