"""The match-and-control neuron in NEURON, from the same equations as `pulvinar::simulate::cable`, and its run time.

    pip install neuron
    nrnivmodl mod                       # in this folder
    python model.py                     # 341 nodes, one trial of one second, without recording
    python model.py --full              # 5029 nodes
    python model.py --trial FILE.csv    # spike trains and integrals of a stored trial, for comparison

Time is CPU time of the run alone, one thread, the best of --repeats.
"""

import argparse
import math
import random
import time

from neuron import h

h.load_file("stdrun.hoc")

SOMA_UM = 23.145256
PIECES = 451


def section(name, length, diameters, nseg, cm, ra, e_pas, g_pas, parent=None, site=1.0):
    s = h.Section(name=name)
    s.L, s.nseg, s.cm, s.Ra = length, nseg, cm, ra
    s.insert("pas")
    for i, seg in enumerate(s):
        seg.diam = diameters[i * len(diameters) // nseg] if len(diameters) > 1 else diameters[0]
        seg.pas.g, seg.pas.e = g_pas, e_pas
    if parent is not None:
        s.connect(parent(site), 0)
    return s


def apical(s, sodium, kv3, e_k):
    for name, g, e in (("apical_sodium", sodium, 50), ("apical_kv3", kv3, e_k), ("apical_m", 6.75e-5, e_k)):
        s.insert(name)
        for seg in s:
            mechanism = getattr(seg, name)
            mechanism.g, mechanism.e = g, e


def set_density(s, name, pico, factor=1.0, **others):
    s.insert(name)
    for seg in s:
        mechanism = getattr(seg, name)
        mechanism.g = pico * 1e-4 * factor
        for key, value in others.items():
            setattr(mechanism, key, value)


def means(values, n):
    """Means of `values` over n equal pieces."""
    m = len(values)
    out = []
    for i in range(n):
        a, b, total = i * m / n, (i + 1) * m / n, 0.0
        for j in range(int(a), min(m, math.ceil(b))):
            total += max(0.0, min(b, j + 1) - max(a, j)) * values[j]
        out.append(total / (b - a))
    return out


def build(full):
    soma_leak = 1 / 23823.061083
    t1, t2 = 2.3**1.4, 2.3**1.6
    soma = section("soma", SOMA_UM, [SOMA_UM], 1, 2.298892, 82, -75, soma_leak)
    set_density(soma, "soma_sodium", 284.546493, t1, shift=10)
    set_density(soma, "soma_fast", 50.802287, t1)
    set_density(soma, "soma_slow", 361.584735, t2)
    set_density(soma, "soma_persistent", 0.873246)
    set_density(soma, "soma_m", 7.123963)
    passive = (2.298892, 82, -83.056442, soma_leak)
    basal = section("basal", 257, [7060.90626796 / (math.pi * 257)], 1, 2.298892, 734, -83.056442, soma_leak, soma, 0.5)
    set_density(basal, "basal_h", 15.709707)
    taper = lambda a, b: [a + (b - a) * (i + 0.5) / 5 for i in range(5)]
    hillock = section("hillock", 20, taper(3.5, 2.0), 5, *passive, soma, 0)
    set_density(hillock, "soma_sodium", 8810.6571, t1, shift=10)
    initial = section("initial", 25, taper(2.0, 1.5), 5, *passive, hillock)
    set_density(initial, "soma_sodium", 13490.395442, t1, shift=0.197024)
    axon = section("axon", 500, [1.5], 1, *passive, initial)
    width = [
        2.7642336 + 21.55532 * math.log1p(math.exp(-(SOMA_UM + 450 * (i + 0.5) / PIECES) / 15.393625))
        for i in range(PIECES)
    ]
    narrow = [width[-1] * (0.5 / width[-1]) ** (i / 50) for i in range(51)]
    n = (451, 51, 251) if full else (15, 5, 25)
    shaft = section("shaft", 450, means(width, n[0]), n[0], 1, 100, -75, 2e-4, soma)
    apical(shaft, 0.30, 0.24, -77)
    top = section("top", 50, means(narrow, n[1]), n[1], 1, 500, -75, 2e-4, shaft)
    apical(top, 0.40, 0.32, -77)
    tuft, heads, points, necks = [], [], [], []
    lump = 1 if full else 10
    for b in range(6):
        branch = section(f"tuft{b}", 250, [0.5], n[2], 1, 200, -85, 2e-4, top if b < 2 else tuft[(b - 2) // 2])
        apical(branch, 0.10, 0.06, -85)
        tuft.append(branch)
        for i in range(250 // lump):
            x = (2 + 246 / 249 * (i * lump + (lump - 1) / 2)) / 250
            if full:
                neck = section(f"neck{b}_{i}", 1, [0.1], 1, 1, 100, -85, 2e-4, branch, x)
                head = section(f"head{b}_{i}", 0.5, [0.5], 1, 1, 100, -85, 2e-4, neck)
                necks.append(neck)
            else:
                # ten heads and half their necks in one cylinder, whose axial resistance is that of ten necks
                area = 10 * (math.pi * 0.25 + math.pi * 0.1 / 2)
                length = area / (math.pi * 5)
                ohm_cm = 2 * (127.324 + 1.273) / 10 / (length * 1e-2 * 4 / (math.pi * 25))
                head = section(f"head{b}_{i}", length, [5.0], 1, 1, ohm_cm, -85, 2e-4, branch, x)
                seg = branch(x)
                extra = 10 * math.pi * 0.1 / 2 / seg.area()
                seg.cm += extra
                seg.pas.g *= 1 + extra
            heads.append(head)
            point = h.spine(head(0.5))
            point.spines = lump
            points.append(point)
    return dict(soma=soma, keep=[basal, hillock, initial, axon, shaft, top, tuft, necks], heads=heads, points=points)


def renewal(rate, low, high, rng):
    t, out = low + rng.expovariate(1 / (1000 / rate - 50)), []
    while t < high:
        out.append(t)
        t += 50 + rng.expovariate(1 / (1000 / rate - 50))
    return out


def stored(path):
    keys, first, mean, query = [], [], [], []
    for line in open(path):
        if "(1 ms, 4 nA):" in line:
            query = [float(x) for x in line.split("4 nA):")[1].split()]
        if line.startswith("#"):
            continue
        _, a, b, spikes = line.split(",")
        first.append(float(a)), mean.append(float(b)), keys.append([float(x) for x in spikes.split()])
    return keys, query, first, mean


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--trial")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--duration", type=float, default=1150.0)
    options = parser.parse_args()
    cell = build(options.full)
    nodes = sum(s.nseg for s in h.allsec())
    print(f"{nodes} segments")
    rng = random.Random(1)
    if options.trial:
        keys, query, first, mean = stored(options.trial)
    else:
        keys = [renewal(6, 50, 1050, rng) for _ in range(150)]
        query = renewal(6, 50, 1050, rng)
    per = len(cell["points"]) // 150
    wires, arrivals = [], []
    for axon, train in enumerate(keys):
        for k in range(per):
            wire = h.NetCon(None, cell["points"][axon * per + k])
            wire.weight[0] = 1.0
            wires.append(wire)
            arrivals += [(wire, spike + 1.0) for spike in train]
    start_events = h.FInitializeHandler(lambda: [wire.event(t) for wire, t in arrivals])
    for t in query:
        clamp = h.IClamp(cell["soma"](0.5))
        clamp.delay, clamp.dur, clamp.amp = t, 1.0, 4.0
        wires.append(clamp)
    peaks = h.Vector()
    counter = h.APCount(cell["soma"](0.5))
    counter.thresh = 0
    counter.record(peaks)
    h.celsius, h.dt, h.steps_per_ms = 37, 0.025, 40
    context = h.ParallelContext()
    context.set_maxstep(10)
    best = float("inf")
    for _ in range(options.repeats):
        h.finitialize(-75)
        start = time.process_time()
        context.psolve(options.duration)
        best = min(best, time.process_time() - start)
    print("spikes", [round(t, 3) for t in peaks])
    print(f"{best:.2f} CPU-s, {best / options.duration * 1000:.3f} per simulated second")
    if options.trial:
        mine = [p.integral for p in cell["points"]]
        mine = [mine[a * per] for a in range(150)]
        slope = sum(x * y for x, y in zip(first, mine)) / sum(x * x for x in first)
        average = sum(first) / 150
        rms = math.sqrt(sum((x - y) ** 2 for x, y in zip(first, mine)) / 150)
        print(f"integrals: slope {slope:.5f}, rms {rms / average:.2e} of the mean")
        for a, x, y in zip(range(150), first, mine):
            print("R", a, x, y)


if __name__ == "__main__":
    main()
