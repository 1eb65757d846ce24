"""Builds a real SUMO scenario with SUMO's own tools, for `make demo` and for whoever wants to try one.

A town on a grid with traffic lights, some 1,000 vehicles, one simulated hour; the same bytes every time. Run it with
the Python of an environment that has eclipse-sumo:  python build.py scenario.zip
"""

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

CONFIG = """<configuration>
    <input>
        <net-file value="town.net.xml"/>
        <route-files value="town.rou.xml"/>
    </input>
    <time>
        <begin value="0"/>
        <end value="3600"/>
        <step-length value="0.2"/>
    </time>
    <emissions>
        <device.emissions.probability value="1"/>
    </emissions>
</configuration>
"""
SECONDS = 3600
LONG_AGO = (1980, 1, 1, 0, 0, 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="the ZIP to write")
    parser.add_argument("--vehicles", type=int, default=1000, help="how many set out within the hour (%(default)s)")
    parser.add_argument("--blocks", type=int, default=13, help="crossings on each side of the grid (%(default)s)")
    parser.add_argument("--seed", type=int, default=42, help="another seed, another town (%(default)s)")
    parser.add_argument("--broken", action="store_true", help="send one vehicle over a street that does not exist")
    parser.add_argument("--sumo-home", type=Path, default=None, help="where SUMO is, if not beside this Python")
    asked = parser.parse_args()
    home = asked.sumo_home or sumo_home()
    with tempfile.TemporaryDirectory(prefix="longshore-town-") as folder:
        build(home, Path(folder), vehicles=asked.vehicles, blocks=asked.blocks, seed=asked.seed)
        if asked.broken:
            break_routes(Path(folder, "town.rou.xml"))
        pack(Path(folder), asked.out)
    print(f"{asked.out}: {asked.out.stat().st_size:,} bytes", file=sys.stderr)


def sumo_home() -> Path:
    """The package eclipse-sumo brings its programs and tools in a folder that is importable as `sumo`."""
    found = importlib.util.find_spec("sumo")
    if found and found.submodule_search_locations:
        return Path(found.submodule_search_locations[0])
    if "SUMO_HOME" in os.environ:
        return Path(os.environ["SUMO_HOME"])
    sys.exit("build.py: SUMO is not installed beside this Python; hint: pip install eclipse-sumo, or give --sumo-home")


def build(home: Path, folder: Path, *, vehicles: int, blocks: int, seed: int) -> None:
    """Write the network, the routes and the configuration into the folder."""
    grid = ["--grid", f"--grid.number={blocks}", "--grid.length=180", "--grid.attach-length=180"]
    look = ["--default.lanenumber=2", "--default-junction-type=traffic_light"]
    run(home, folder, [str(home / "bin" / "netgenerate"), *grid, *look, f"--seed={seed}", "--output-file=town.net.xml"])
    trips = [sys.executable, str(home / "tools" / "randomTrips.py"), "--net-file=town.net.xml", f"--seed={seed}"]
    when = ["--begin=0", f"--end={SECONDS}", f"--period={SECONDS / vehicles}", "--fringe-factor=10"]
    files = ["--output-trip-file=town.trips.xml", "--route-file=town.rou.xml", "--validate"]
    run(home, folder, [*trips, *when, "--min-distance=1500", *files])
    (folder / "town.sumocfg").write_text(CONFIG)


def run(home: Path, folder: Path, command: list[str]) -> None:
    environment = {**os.environ, "SUMO_HOME": str(home), "PROJ_DATA": str(home / "data" / "proj")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"build.py: {Path(command[0]).name} failed ({done.returncode}):\n{done.stdout}{done.stderr}")


def break_routes(routes: Path) -> None:
    """SUMO answers: Error: The edge 'nowhere' within the route for vehicle '...' is not known."""
    routes.write_text(re.sub(r'edges="(\S+)', r'edges="\1 nowhere', routes.read_text(), count=1))


def pack(folder: Path, out: Path) -> None:
    """The same files give the same bytes: without the tools' comments, which hold the time, and with fixed dates."""
    partial = out.with_name(out.name + ".part")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("town.sumocfg", "town.net.xml", "town.rou.xml"):
            text = re.sub(r"<!--.*?-->\s*", "", (folder / name).read_text(), flags=re.DOTALL)
            entry = zipfile.ZipInfo(name, LONG_AGO)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, text, zipfile.ZIP_DEFLATED)
    partial.replace(out)


if __name__ == "__main__":
    main()
