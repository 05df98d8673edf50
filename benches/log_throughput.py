#!/usr/bin/env python3
"""What a log costs: 2,000,000 lines of 100 bytes through dogwatch, `cat > file`, svlogd and s6-log, in turns, in one run.

    benches/log_throughput.py [ROUNDS [BLOCK]]      5 rounds; the service writes 4096 bytes at a time, as stdio does

Wall time: from the service's first write until its last byte is in the file. CPU: of the receiver alone, user and system (of
dogwatch: its keeper). Memory: the most resident memory of the receiver, and what of it is its own. All but cat rotate at
10 MiB. Every line is looked for afterwards. DOGWATCH names another binary than bin/dogwatch; TMPDIR the disk.
"""
import os, shutil, statistics, subprocess, sys, tempfile, time
from pathlib import Path

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 5
BLOCK = int(sys.argv[2]) if len(sys.argv) > 2 else 4096
COUNT, LINE = 2_000_000, 100
BYTES = COUNT * LINE
ROTATE = 10 << 20
HERE = Path(__file__).resolve().parent
DOGWATCH = os.environ.get("DOGWATCH", str(HERE.parent / "bin/dogwatch"))


def check(files):
    """Every line once, in order, in the files as they follow each other."""
    expected = 0
    for file in files:
        with open(file, "rb", buffering=1 << 20) as lines:
            for line in lines:
                assert line == b"%099d\n" % expected, f"{file}: line {expected} is {line!r}"
                expected += 1
    assert expected == COUNT, f"{expected} of {COUNT} lines"


def times(folder):
    begin, end = (folder / "times").read_text().split()
    return int(begin) / 1e9, int(end) / 1e9


def most_memory(pid):
    """The most resident memory of a process so far, KiB."""
    rows = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(row.split()[1]) for row in rows if row.startswith("VmHWM:"))


def through_pipe(folder, writer, receiver, files):
    """The writer's pipe, emptied by `receiver`."""
    reader, writing = os.pipe()
    pid = os.posix_spawnp(
        receiver[0], receiver, os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, reader, 0), (os.POSIX_SPAWN_CLOSE, writing)],
    )
    os.close(reader)
    subprocess.run([writer, str(COUNT), str(BLOCK), folder / "times"], stdout=writing, check=True)
    most = most_memory(pid)  # what wait4 says counts the memory of this process before exec
    os.close(writing)
    _, status, used = os.wait4(pid, 0)
    done = time.monotonic()
    assert status == 0, f"{receiver}: {status}"
    check(files())
    return done - times(folder)[0], used.ru_utime + used.ru_stime, most, None


def cat(folder, writer):
    log = folder / "log"
    return through_pipe(folder, writer, ["/bin/sh", "-c", f'exec cat > "{log}"'], lambda: [log])


def svlogd(folder, writer):
    (folder / "config").write_text(f"s{ROTATE}\nn40\n")
    # Archives are named by their time (TAI64N): names sort by age.
    return through_pipe(folder, writer, ["svlogd", str(folder)],
                        lambda: sorted(folder.glob("@*")) + [folder / "current"])


def s6_log(folder, writer):
    logs = folder / "logs"
    return through_pipe(folder, writer, ["s6-log", "n40", f"s{ROTATE}", str(logs)],
                        lambda: sorted(logs.glob("@*")) + [logs / "current"])


def dogwatch(folder, writer):
    (folder / "ecosystem.toml").write_text(
        f'[services.writer]\ncommand = ["{writer}", "{COUNT}", "{BLOCK}", "{folder}/times"]\n'
        f'restart = {{ policy = "never" }}\nlog = {{ rotate_size = "10MiB", keep = 40, compress = false, budget = "1GiB" }}\n'
        '[services.idle]\ncommand = ["sleep", "1000"]\n')

    def run(*words):
        subprocess.run([DOGWATCH, "--home", folder / "home", *words], cwd=folder, check=True, stdout=subprocess.DEVNULL)

    def cpu(pid):
        tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    logs = folder / "logs"
    files = lambda: sorted(logs.glob("archive/*/writer-out.*.log")) + [logs / "writer-out.log"]
    run("up", "-d", "idle")
    try:
        subprocess.Popen([DOGWATCH, "--home", folder / "home", "start", "writer"], cwd=folder,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        lock = folder / "home/state/lock/writer.keeper.lock"
        keeper = wait_for(lambda: int(lock.read_text().split()[0]))
        deadline = time.monotonic() + 120
        while sum(map(size, files())) < BYTES:
            assert time.monotonic() < deadline, "the log is not complete"
            time.sleep(0.001)
        done = time.monotonic()
        used, most = cpu(keeper), most_memory(keeper)
        own = sum(int(row.split()[1]) for row in Path(f"/proc/{keeper}/smaps_rollup").read_text().splitlines()
                  if row.startswith("Private_"))
        wait_for(lambda: times(folder))
        check(files())
        return done - times(folder)[0], used, most, own
    finally:
        run("down")


def size(file):
    """None of it, if it has just been moved to the archive."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def wait_for(look):
    deadline = time.monotonic() + 20
    while True:
        try:
            return look()
        except (OSError, ValueError, IndexError):
            assert time.monotonic() < deadline
            time.sleep(0.001)


def main():
    missing = [tool for tool in ("svlogd", "s6-log") if not shutil.which(tool)]
    if missing:
        sys.exit(f"{', '.join(missing)} missing: apt-get install runit s6")
    base = Path(tempfile.mkdtemp(prefix="log-throughput."))
    try:
        writer = base / "lines"
        subprocess.run(["cc", "-O2", "-o", writer, HERE / "support/lines.c"], check=True)
        ways = [cat, svlogd, s6_log, dogwatch]
        seen = {way: [] for way in ways}
        for number in range(ROUNDS):
            for way in ways[number % len(ways):] + ways[:number % len(ways)]:
                folder = base / f"{way.__name__}.{number}"
                folder.mkdir()
                seen[way].append(way(folder, writer))
                shutil.rmtree(folder)
        middle = lambda way, field: statistics.median(run[field] for run in seen[way])
        print(f"{COUNT:,} lines of {LINE} bytes, {BLOCK} bytes a write, median of {ROUNDS}")
        print(f"{'':9} {'wall s':>7} {'MB/s':>6} {'CPU s/GB':>9} {'least–most':>11} {'of cat':>7} {'memory KiB':>11} {'own KiB':>8}")
        for way in ways:
            wall, used = middle(way, 0), middle(way, 1) / (BYTES / 1e9)
            each = [run[1] / (BYTES / 1e9) for run in seen[way]]
            own = "-" if seen[way][0][3] is None else f"{middle(way, 3):.0f}"
            print(f"{way.__name__.replace('_', '-'):9} {wall:7.2f} {BYTES / 1e6 / wall:6.0f} {used:9.2f} "
                  f"{min(each):5.2f}–{max(each):4.2f} {used * BYTES / 1e9 / middle(cat, 1):6.2f}x "
                  f"{middle(way, 2):11.0f} {own:>8}")
    finally:
        shutil.rmtree(base)


main()
