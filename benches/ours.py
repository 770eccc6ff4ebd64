"""The bench binary `attention`, asked by scripts."""

import json
import subprocess


class Ours:
    """The bench binary, answering one line at a time."""

    def __init__(self, binary):
        binary = binary or self.build()
        self.process = subprocess.Popen([binary, "--bench"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    @staticmethod
    def build():
        build = ["cargo", "bench", "--bench", "attention", "--no-run", "--message-format=json"]
        lines = subprocess.run(build, check=True, capture_output=True, text=True).stdout.splitlines()
        found = [json.loads(l) for l in lines if '"executable"' in l]
        return [m["executable"] for m in found if m.get("target", {}).get("name") == "attention"][-1]

    def ask(self, work, d, heads, n, precision, threads, samples):
        self.process.stdin.write(f"{work} {d} {heads} {n} {precision} {threads} {samples}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())
