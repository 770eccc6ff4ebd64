"""Writes NAME.npz, the expected output of each circuit in circuits/, from equations written by hand in PyTorch.

    python tests/golden/generate.py PULVINAR [NAME ...]

PULVINAR is the compiled binary. `PULVINAR simulate` only supplies numbers: the weights of every projection and the
tokens. Nothing here reads a circuit file, and nothing knows of heads that were compiled; each function below states what
its circuit computes. Row i of a token matrix is token i; a weight matrix is [targets, sources], so W x_i is row i of
X @ W.T. Everything is float64.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
from safetensors.torch import load_file

HERE = pathlib.Path(__file__).resolve().parent
CIRCUITS = HERE.parent.parent / "circuits"
EXPECTED = {}  # circuit name -> function of (weights, streams)


def circuit(function):
    EXPECTED[function.__name__] = function
    return function


def causal(n):
    return torch.tril(torch.ones(n, n, dtype=torch.float64))


def all_ones(*matrices):
    """The equations leave out matrices of ones and identities; make sure that they are."""
    for m in matrices:
        assert torch.equal(m, torch.ones_like(m)), "a matrix of ones is expected"


def all_identity(*matrices):
    for m in matrices:
        assert torch.equal(m, torch.eye(m.shape[0], dtype=m.dtype)), "an identity matrix is expected"


def unfolding_memory(k, q, v, keep=None):
    """Causal key-value memory, token by token: M <- diag(keep_t) M + v_t k_t^T, then u_t = M q_t."""
    memory = torch.zeros(v.shape[1], k.shape[1], dtype=torch.float64)
    out = []
    for t in range(k.shape[0]):
        if keep is not None:
            memory = keep[t][:, None] * memory
        memory = memory + torch.outer(v[t], k[t])
        out.append(memory @ q[t])
    return torch.stack(out)


# One area ----------------------------------------------------------------------------------------------------------


@circuit
def one_microcolumn(w, x):
    """y_i = sum_j (k_j . q_i) W_O v_j over all j; no residual."""
    x = x["main"]
    all_ones(w["A"])
    k, q, v = x @ w["W_K"].T, x @ w["W_Q"].T, x @ w["W_V"].T
    return torch.einsum("jb,ib,ja,oa->io", k, q, v, w["W_O"])


@circuit
def one_head_attention_mask(w, x):
    """y_i = x_i + sum_{j <= i} (k_j . q_i) W_O v_j."""
    x = x["main"]
    all_ones(w["A"])
    k, q, v = x @ w["W_K"].T, x @ w["W_Q"].T, x @ w["W_V"].T
    scores = torch.einsum("ib,jb->ij", q, k) * causal(len(x))
    return x + torch.einsum("ij,ja,oa->io", scores, v, w["W_O"])


@circuit
def one_head_key_value_memory(w, x):
    """M_i = M_{i-1} + v_i k_i^T; y_i = x_i + W_O M_i q_i."""
    x = x["main"]
    all_identity(w["M"], w["skip"])
    u = unfolding_memory(x @ w["W_K"].T, x @ w["W_Q"].T, x @ w["W_V"].T)
    return x + u @ w["W_O"].T


@circuit
def tokens_in_time(w, x):
    """M_i = g M_{i-1} + v_i k_i^T in two areas, g = 0.95 and 0.5; y_i = x_i + sum of W_O M_i q_i."""
    x = x["main"]
    all_identity(w["slow_M"], w["fast_M"], w["skip"])
    y = x
    for area, g in [("slow", 0.95), ("fast", 0.5)]:
        q, k, v = (x @ w[f"{area}_{role}"].T for role in "QKV")
        keep = torch.full((x.shape[0], v.shape[1]), g, dtype=torch.float64)
        y = y + unfolding_memory(k, q, v, keep) @ w[f"{area}_O"].T
    return y


@circuit
def broadcast_lateral(w, x):
    """The score k_j . q_i is one number per pair; y_i = x_i + sum_{j <= i} (k_j . q_i) W_O v_j."""
    x = x["main"]
    all_ones(w["beta"], w["w"])
    scores = (x @ w["W_Q"].T) @ (x @ w["W_K"].T).T
    return x + torch.tril(scores) @ (x @ w["W_V"].T) @ w["W_O"].T


@circuit
def two_heads_by_blocks(w, x):
    """Head 1 has key cells 0-2 and value cells 0-3, head 2 key cells 3-5 and value cells 4-7."""
    x = x["main"]
    y = x.clone()
    for keys, values in [(slice(0, 3), slice(0, 4)), (slice(3, 6), slice(4, 8))]:
        all_ones(w["A"][values, keys])
        k, q, v = x @ w["W_K"][keys].T, x @ w["W_Q"][keys].T, x @ w["W_V"][values].T
        y = y + torch.tril(q @ k.T) @ v @ w["W_O"][:, values].T
    return y


@circuit
def rank_two_lateral(w, x):
    """No heads at all: y_i = x_i + sum_{j <= i} W_O (A (k_j * q_i) * v_j), cell by cell."""
    x = x["main"]
    k, q, v = x @ w["W_K"].T, x @ w["W_Q"].T, x @ w["W_V"].T
    superficial = torch.einsum("ib,jb->ijb", q, k)
    deep = torch.einsum("ab,ijb->ija", w["A"], superficial) * v[None]
    u = torch.einsum("ij,ija->ia", causal(len(x)), deep)
    return x + u @ w["W_O"].T


# Several areas -----------------------------------------------------------------------------------------------------


@circuit
def multihead_cortico_thalamic(w, x):
    """y_i = x_i + sum over four heads of sum_{j <= i} (k_j . q_i) W_O v_j, by stacked weights."""
    x = x["main"]
    heads = "1234"
    w_k, w_q, w_v, w_o = (torch.stack([w[f"W_{letter}{h}"] for h in heads]) for letter in "KQVO")
    k, q, v = (torch.einsum("hbd,nd->hnb", m, x) for m in (w_k, w_q, w_v))
    scores = torch.einsum("hib,hjb->hij", q, k) * causal(len(x))
    return x + torch.einsum("hij,hja,hoa->io", scores, v, w_o)


@circuit
def cross_attention(w, x):
    """y_i = x_i + sum_j (k_j . q_i) W_O v_j; queries from vision, keys and values of all sounds."""
    vision, sound = x["vision"], x["sound"]
    memory = (sound @ w["W_V"].T).T @ (sound @ w["W_K"].T)  # [d_v, d_k], complete before any query
    return vision + (vision @ w["W_Q"].T) @ memory.T @ w["W_O"].T


@circuit
def three_level_hierarchy(w, x):
    """Three times: y_i = x_i + sum_{j <= i} (k_j . q_i) W_O v_j, each time on the result of the last."""
    x = x["main"]
    for level in "123":
        k, q, v = (x @ w[f"W_{letter}{level}"].T for letter in "KQV")
        x = x + torch.tril(q @ k.T) @ v @ w[f"W_O{level}"].T
    return x


@circuit
def decoder(w, x):
    """Words read their past, then the whole scene; residual paths around both."""
    words, scene = x["words"], x["scene"]
    k, q, v = (words @ w[f"W_{letter}1"].T for letter in "KQV")
    words = words + torch.tril(q @ k.T) @ v @ w["W_O1"].T
    q, k, v = words @ w["W_Q2"].T, scene @ w["W_K2"].T, scene @ w["W_V2"].T
    return words + (q @ k.T) @ v @ w["W_O2"].T


@circuit
def template_heads(w, x):
    """Two linear heads, a softmax head with 1/sqrt(d_k), and a memory with decay 0.9; one residual path."""
    x = x["main"]
    n = len(x)
    y = x.clone()
    for area in ["A1", "A2"]:
        k, q, v = (x @ w[f"{area}_W_{letter}"].T for letter in "KQV")
        y = y + torch.tril(q @ k.T) @ v @ w[f"{area}_W_O"].T
    k, q, v = (x @ w[f"A3_W_{letter}"].T for letter in "KQV")
    scores = (q @ k.T / np.sqrt(k.shape[1])).masked_fill(causal(n) == 0, -torch.inf)
    y = y + torch.softmax(scores, dim=1) @ v @ w["A3_W_O"].T
    k, q, v = (x @ w[f"A4_W_{letter}"].T for letter in "KQV")
    age = torch.arange(n)[:, None] - torch.arange(n)[None]
    scores = torch.tril(q @ k.T) * 0.9 ** age.clamp(min=0).double()
    return y + scores @ v @ w["A4_W_O"].T


# Kernels -----------------------------------------------------------------------------------------------------------


@circuit
def softmax_divisive(w, x):
    """Causal softmax of (k_j . q_i) / sqrt(4), with biases of key, query, value and output."""
    x = x["main"]
    k = x @ w["W_K"].T + w["b_K"][:, 0]
    q = x @ w["W_Q"].T + w["b_Q"][:, 0]
    v = x @ w["W_V"].T + w["b_V"][:, 0]
    scores = (q @ k.T / 2.0).masked_fill(causal(len(x)) == 0, -torch.inf)
    return x + torch.softmax(scores, dim=1) @ v @ w["W_O"].T + w["b_O"][:, 0]


@circuit
def polynomial_kernel(w, x):
    """y_i = x_i + sum_{j <= i} ((k_j . q_i) / sqrt(4))^2 W_O v_j."""
    x = x["main"]
    k, q, v = x @ w["W_K"].T, x @ w["W_Q"].T, x @ w["W_V"].T
    scores = torch.tril(((q @ k.T) / 2.0) ** 2)
    return x + scores @ v @ w["W_O"].T


@circuit
def feature_map_memory(w, x):
    """phi = elu + 1; y_i = x_i + W_O sum_{j <= i} (phi(k_j) . phi(q_i)) v_j / sum_{j <= i} phi(k_j) . phi(q_i)."""
    x = x["main"]
    key = torch.nn.functional.elu(x @ w["W_K"].T) + 1.0
    query = torch.nn.functional.elu(x @ w["W_Q"].T) + 1.0
    value = x @ w["W_V"].T
    memory = torch.cumsum(torch.einsum("ta,tb->tab", value, key), dim=0)
    keys = torch.cumsum(key, dim=0)
    u = torch.einsum("tab,tb->ta", memory, query) / torch.einsum("tb,tb->t", keys, query)[:, None]
    return x + u @ w["W_O"].T


# Memory rules ------------------------------------------------------------------------------------------------------


@circuit
def decay_memory(w, x):
    """M_i = 0.9 M_{i-1} + v_i k_i^T; y_i = x_i + W_O M_i q_i."""
    x = x["main"]
    k, q, v = x @ w["W_K"].T, x @ w["W_Q"].T, x @ w["W_V"].T
    u = unfolding_memory(k, q, v, keep=torch.full_like(v, 0.9))
    return x + u @ w["W_O"].T


@circuit
def delta_memory(w, x):
    """M_i = M_{i-1} + 0.1 (v_i - M_{i-1} k_i) k_i^T; token i reads the memory before its own write."""
    x = x["main"]
    k, q, v = x @ w["W_K"].T, x @ w["W_Q"].T, x @ w["W_V"].T
    memory = torch.zeros(v.shape[1], k.shape[1], dtype=torch.float64)
    u = torch.zeros_like(v)
    for t in range(len(x)):
        u[t] = memory @ q[t]
        memory = memory + 0.1 * torch.outer(v[t] - memory @ k[t], k[t])
    return x + u @ w["W_O"].T


@circuit
def gated_memory(w, x):
    """M_i = diag(sigmoid(W_G x_i + 2)) M_{i-1} + v_i k_i^T; y_i = x_i + W_O M_i q_i."""
    x = x["main"]
    keep = torch.sigmoid(x @ w["W_G"].T + 2.0)
    u = unfolding_memory(x @ w["W_K"].T, x @ w["W_Q"].T, x @ w["W_V"].T, keep=keep)
    return x + u @ w["W_O"].T


# Dale's law, learning, data ----------------------------------------------------------------------------------------


@circuit
def dale_head(w, x):
    """The head of signed cells: each signed matrix is its positive minus its negative part."""
    x = x["main"]
    for name, matrix in w.items():
        assert (matrix >= 0).all(), f"{name} is not excitatory"
    w_k, w_q = w["K_pp_p"] - w["K_pp_m"], w["Q_pp_p"] - w["Q_pp_m"]
    w_v, w_o = w["V_pp_p"] - w["V_pp_m"], w["O_pp_p"] - w["O_pp_m"]
    scores = torch.tril((x @ w_q.T) @ (x @ w_k.T).T)
    return x + scores @ (x @ w_v.T) @ w_o.T


@circuit
def learning_feedback(w, x):
    """Errors and feedback leave the output alone: y_i = x_i + sum_{j <= i} (k_j . q_i) W_O v_j."""
    x = x["main"]
    k, q, v = x @ w["W_K"].T, x @ w["W_Q"].T, x @ w["W_V"].T
    u = torch.stack([(k[: i + 1] @ q[i]) @ v[: i + 1] for i in range(len(x))])
    return x + torch.einsum("oa,ia->io", w["W_O"], u)


@circuit
def learn_digits(w, x):
    """Before it learns: y_i = sum over four heads and all j of (k_j . q_i) W_O v_j."""
    x = x["main"]
    k, q, v = (torch.chunk(x @ w[f"W_{letter}"].T, 4, dim=1) for letter in "KQV")
    return torch.cat([(q[h] @ k[h].T) @ v[h] for h in range(4)], 1) @ w["W_O"].T


@circuit
def learn_in_context(w, x):
    """Before it learns: one question reads all examples, y = W_O sum_j (k_j . q) v_j."""
    z, q = x["examples"], x["question"] @ w["W_Q"].T
    k, v = (z @ w[f"W_{letter}"].T for letter in "KV")
    return (q @ k.T) @ v @ w["W_O"].T


@circuit
def in_context_optimum(w, x):
    """One step of gradient descent from zero: y = (1 / 13) x_q . sum_j x_j y_j."""
    z, q = x["examples"], x["question"]
    return q @ (z[:, :4] * z[:, 4:]).sum(0)[:, None] / 13


@circuit
def learn_in_context_memory(w, x):
    """Before it learns: y_i = W_O sum_{j<i} (k_j . q_i) v_j."""
    k, q, v = (x["main"] @ w[f"W_{letter}"].T for letter in "KQV")
    return torch.tril(q @ k.T, -1) @ v @ w["W_O"].T


@circuit
def learn_recall(w, x):
    """Before it learns: y_i = W_O sum_{j<i} 0.95^(i-1-j) (k_j . q_i) v_j."""
    k, q, v = (x["main"] @ w[f"W_{letter}"].T for letter in "KQV")
    i = torch.arange(k.shape[0], dtype=torch.float64)
    age = (i[:, None] - 1 - i[None, :]).clamp(min=0)
    return torch.tril((q @ k.T) * 0.95**age, -1) @ v @ w["W_O"].T


@circuit
def learn_teacher(w, x):
    """Before it learns: y_i = x_i + sum over two heads and j <= i of (k_j . q_i) W_O v_j."""
    x = x["main"]
    k, q, v = (torch.chunk(x @ w[f"W_{letter}"].T, 2, dim=1) for letter in "KQV")
    u = [((q[h] @ k[h].T) * causal(x.shape[0])) @ v[h] for h in range(2)]
    return x + torch.cat(u, 1) @ w["W_O"].T


def plain_head(w, x):
    """y_i = sum_{j<=i} (k_j . q_i) W_O v_j."""
    k, q, v = (x @ w[f"W_{letter}"].T for letter in "KQV")
    return ((q @ k.T) * causal(x.shape[0])) @ v @ w["W_O"].T


@circuit
def learn_feedback_alignment(w, x):
    """Before it learns: the plain head with a residual."""
    return x["main"] + plain_head(w, x["main"])


@circuit
def learn_kolen_pollack(w, x):
    """Before it learns: the plain head with a residual."""
    return x["main"] + plain_head(w, x["main"])


@circuit
def learn_dale(w, x):
    """Before it learns: the plain head."""
    assert all((w[f"W_{letter}"] >= 0).all() for letter in "KQVO")
    return plain_head(w, x["main"])


@circuit
def excitatory_head(w, x):
    assert all((w[f"W_{letter}"] >= 0).all() for letter in "KQVO")
    return plain_head(w, x["main"])


@circuit
def learn_oja(w, x):
    """Before it learns: y_i = sum_{j<=i} 0.05 (x_j . x_i) (W x_j)."""
    x = x["main"]
    return (0.05 * (x @ x.T) * causal(x.shape[0])) @ (x @ w["W"].T)


@circuit
def digits(w, x):
    """One memory that keeps all rows and one with decay 0.75; y_i = x_i + both read-outs."""
    x = x["main"]
    y = x.clone()
    for name, g in [("slow", 1.0), ("fast", 0.75)]:
        k, q, v = (x @ w[f"W_{letter}_{name}"].T for letter in "KQV")
        u = unfolding_memory(k, q, v, keep=torch.full_like(v, g))
        y = y + u @ w[f"W_O_{name}"].T
    return y


# Experiments -------------------------------------------------------------------------------------------------------


def delta_written(k, v, rate):
    """M <- M + rate (v_t - M k_t) k_t^T over all pairs; the states after each."""
    memory = torch.zeros(v.shape[1], k.shape[1], dtype=torch.float64)
    states = []
    for t in range(len(k)):
        memory = memory + rate * torch.outer(v[t] - memory @ k[t], k[t])
        states.append(memory)
    return states


@circuit
def associative_memory(w, x):
    """The delta memory of rate 1, complete before any cue; keys, queries and values are the tokens."""
    all_identity(*(w[f"{letter}_del"] for letter in "KVMQO"))
    return x["cue"] @ delta_written(x["key"], x["value"], 1.0)[-1].T


@circuit
def conditioning(w, x):
    """Rescorla-Wagner of rate 0.1, stimulus by stimulus: each cue asks for the strength after its trial."""
    strength = torch.zeros(4, dtype=torch.float64)
    out = []
    for cs, us, cue in zip(x["key"], x["value"][:, 0], x["cue"]):
        strength = strength + 0.1 * (us - strength @ cs) * cs
        out.append(strength @ cue)
    return torch.stack(out)[:, None]


@circuit
def recall_chain(w, x):
    """Three times y <- 1/2 sum_j (k_j . y) v_j, the values of a layer being the keys of the next."""
    y = x["cue"]
    for layer in (1, 2, 3):
        y = 0.5 * (y @ x[f"key{layer}"].T) @ x[f"key{layer + 1}"]
    return y


@circuit
def hopfield(w, x):
    """y = softmax(beta K xi) V with beta = 1."""
    return torch.softmax(x["cue"] @ x["key"].T, dim=1) @ x["value"]


@circuit
def equilibrium(w, x):
    """The delta memory beside the recurrent one, of rate 1, complete before any cue."""
    return x["cue"] @ delta_written(x["key"], x["value"], 1.0)[-1].T


@circuit
def digit_memories(w, x):
    """y = softmax(beta K xi) V with beta = 40."""
    return torch.softmax(40.0 * x["cue"] @ x["key"].T, dim=1) @ x["value"]


# -------------------------------------------------------------------------------------------------------------------


def run(binary, name, folder):
    """Weights, tokens and output of one simulation."""
    source = CIRCUITS / f"{name}.yaml"
    done = subprocess.run(
        [binary, "simulate", str(source), "-o", str(folder), "--force"], capture_output=True, text=True
    )
    if done.returncode != 0:
        raise RuntimeError(f"simulate ended with {done.returncode}:\n{done.stderr or done.stdout}")
    weights = {key: value.double() for key, value in load_file(str(folder / "weights.safetensors")).items()}
    with np.load(folder / "inputs.npz") as arrays:
        streams = {key: torch.from_numpy(arrays[key].astype(np.float64)) for key in arrays.files}
    return weights, streams, np.load(folder / "output.npy")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pulvinar", help="path of the binary")
    parser.add_argument("names", nargs="*", help="circuits (default: all of circuits/)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    found = sorted(path.stem for path in CIRCUITS.glob("*.yaml"))
    missing = sorted(set(found) ^ set(EXPECTED)) if not args.names else []
    failed = len(missing)
    for name in missing:
        print(f"{name:28} has a circuit or an equation, but not both")
    binary = str(pathlib.Path(args.pulvinar).resolve())
    for name in args.names or [n for n in found if n in EXPECTED]:
        with tempfile.TemporaryDirectory() as folder:
            try:
                weights, streams, output = run(binary, name, pathlib.Path(folder))
                y = EXPECTED[name](weights, streams).numpy()
            except (RuntimeError, AssertionError, KeyError, OSError) as error:
                print(f"{name:28} {type(error).__name__}: {error}")
                failed += 1
                continue
        np.savez(HERE / f"{name}.npz", y=y)
        if output.shape != y.shape:
            print(f"{name:28} shape {output.shape}, expected {y.shape}")
            failed += 1
            continue
        difference = np.abs(output - y).max() / np.abs(y).max()
        print(f"{name:28} {y.shape!s:10} largest |y| {np.abs(y).max():9.3g}   relative difference {difference:.2e}")
        failed += not difference < 1e-12
    (HERE / "versions.txt").write_text(f"torch {torch.__version__}\nnumpy {np.__version__}\n")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
