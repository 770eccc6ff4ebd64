//! Softmax blocks as functions: what changes nothing must count as nothing, and everything else must be seen.

use nalgebra::{DMatrix, DVector};
use pulvinar::attention::equivalence::{
    Comparison, Method, Wish, compare, softmax_distance, softmax_folded, softmax_head_distance,
};
use pulvinar::attention::{Block, Head, Kernel, Mask, Memory, Normalisation, Residual, Streams, forward};
use pulvinar::seed;
use rand_chacha::ChaCha8Rng;

const D: usize = 6;

fn draw(rng: &mut ChaCha8Rng, rows: usize, columns: usize) -> DMatrix<f64> {
    DMatrix::from_fn(rows, columns, |_, _| 0.5 * seed::normal(rng))
}

fn vector(rng: &mut ChaCha8Rng, rows: usize) -> DVector<f64> {
    DVector::from_fn(rows, |_, _| seed::normal(rng))
}

fn head(rng: &mut ChaCha8Rng, mask: Mask) -> Head {
    let (d_k, d_v) = (3, 2);
    Head {
        w_q: draw(rng, d_k, D),
        w_k: draw(rng, d_k, D),
        w_v: draw(rng, d_v, D),
        w_o: draw(rng, D, d_v),
        b_q: vector(rng, d_k),
        b_k: vector(rng, d_k),
        b_v: vector(rng, d_v),
        scale: 0.7,
        kernel: Kernel::Exp,
        normalisation: Normalisation::Sum,
        mask,
        memory: Memory::None,
        query_stream: "main".into(),
        context_stream: "main".into(),
        value_stream: "main".into(),
        function: Vec::new(),
        sink: None,
        area: String::new(),
    }
}

fn block(seed: u64, mask: Mask, heads: usize) -> Block {
    let rng = &mut pulvinar::seed::stream(seed, "softmax block");
    Block {
        relay: "R".into(),
        d_model: D,
        clock_stream: "main".into(),
        heads: (0..heads).map(|_| head(rng, mask)).collect(),
        residual: vec![Residual { stream: "main".into(), matrix: DMatrix::identity(D, D) }],
        b_o: vector(rng, D),
    }
}

fn verdict(a: &Block, b: &Block) -> Comparison {
    compare(a, b, &Wish { tolerance: 1e-11, inputs: Vec::new(), exact: false, seed: 3 }).expect("comparable")
}

/// The largest difference on random tokens, by running both: the second opinion.
fn by_running(a: &Block, b: &Block) -> f64 {
    let rng = &mut seed::stream(77, "second opinion");
    let mut worst = 0.0f64;
    for n in [1, 2, 4, 9] {
        let streams: Streams = [("main".to_owned(), draw(rng, D, n) * 3.0)].into();
        let (y, z) = (forward(a, &streams).expect("runs"), forward(b, &streams).expect("runs"));
        worst = worst.max((&y - &z).amax() / y.amax());
    }
    worst
}

/// A matrix far from singular.
fn invertible(rng: &mut ChaCha8Rng, n: usize) -> DMatrix<f64> {
    draw(rng, n, n) * 0.5 + DMatrix::identity(n, n)
}

type Change = fn(&mut Block, &mut ChaCha8Rng);

#[test]
fn what_changes_nothing_counts_as_nothing() {
    let changes: &[(&str, Change)] = &[
        ("nothing", |_, _| ()),
        ("gauge of keys and queries", |b, rng| {
            for h in &mut b.heads {
                let g = invertible(rng, 3);
                let back = g.clone().try_inverse().expect("invertible").transpose();
                h.w_k = &g * &h.w_k;
                h.b_k = &g * &h.b_k;
                h.w_q = &back * &h.w_q;
                h.b_q = back * &h.b_q;
            }
        }),
        ("gauge of values and outputs", |b, rng| {
            for h in &mut b.heads {
                let g = invertible(rng, 2);
                h.w_v = &g * &h.w_v;
                h.b_v = &g * &h.b_v;
                h.w_o = &h.w_o * g.try_inverse().expect("invertible");
            }
        }),
        ("order of heads", |b, _| b.heads.reverse()),
        ("key biases", |b, rng| b.heads.iter_mut().for_each(|h| h.b_k = vector(rng, 3))),
        ("value biases in the output bias", |b, _| {
            for h in &mut b.heads {
                let out = &h.w_o * &h.b_v;
                b.b_o += out;
                h.b_v.fill(0.0);
            }
        }),
        ("a head split in two of equal scores", |b, rng| {
            let mut twin = b.heads[0].clone();
            let part = draw(rng, 2, D);
            b.heads[0].w_v -= &part;
            twin.w_v = part;
            twin.b_v.fill(0.0);
            b.heads.push(twin);
        }),
        ("scale in the keys", |b, _| {
            for h in &mut b.heads {
                h.w_k *= h.scale;
                h.scale = 1.0;
            }
        }),
        ("a head that gives nothing", |b, rng| {
            let mut idle = head(rng, b.heads[0].mask);
            idle.w_o.fill(0.0);
            b.heads.push(idle);
        }),
    ];
    for mask in [Mask::Full, Mask::Causal] {
        for seed in 0..4 {
            for (claim, change) in changes {
                let a = block(seed, mask, 3);
                let mut b = a.clone();
                change(&mut b, &mut pulvinar::seed::stream(seed, claim));
                let found = verdict(&a, &b);
                let (matrices, ran) =
                    (found.softmax.as_ref().expect("softmax").relative(), by_running(&a, &b));
                assert!(ran < 1e-12, "{claim}: the change does change something, {ran:e}");
                assert!(
                    found.equivalent && matrices < 1e-12,
                    "{claim}: {matrices:e}, {}",
                    found.relative_distance
                );
                assert_eq!(found.method, Method::Probe);
            }
        }
    }
}

#[test]
fn what_changes_something_is_seen() {
    let changes: &[(&str, Change)] = &[
        ("one weight", |b, _| b.heads[1].w_k[(0, 0)] *= 1.0 + 1e-7),
        ("a query bias", |b, _| b.heads[1].b_q[0] += 1e-6),
        ("the scale", |b, _| b.heads[0].scale *= 1.0 + 1e-6),
        ("the mask", |b, _| b.heads[0].mask = Mask::Strict),
        ("keys for queries", |b, _| {
            for h in &mut b.heads {
                std::mem::swap(&mut h.w_k, &mut h.w_q);
            }
        }),
        ("two heads trade values", |b, _| {
            let first = b.heads[0].w_v.clone();
            b.heads[0].w_v = std::mem::replace(&mut b.heads[1].w_v, first);
        }),
        ("a head twice", |b, _| {
            let again = b.heads[0].clone();
            b.heads.push(again);
        }),
        ("a head less", |b, _| drop(b.heads.pop())),
        ("the residual", |b, _| b.residual[0].matrix[(0, 1)] += 1e-6),
        ("the output bias", |b, _| b.b_o[2] += 1e-6),
        ("the values' bias", |b, _| b.heads[2].b_v[0] += 1e-6),
        ("not divided by the sum", |b, _| {
            b.heads.iter_mut().for_each(|h| h.normalisation = Normalisation::None)
        }),
        ("linear", |b, _| {
            for h in &mut b.heads {
                (h.kernel, h.normalisation) = (Kernel::Linear, Normalisation::None);
            }
        }),
    ];
    for (claim, change) in changes {
        let a = block(9, Mask::Causal, 3);
        let mut b = a.clone();
        change(&mut b, &mut pulvinar::seed::stream(1, claim));
        let found = verdict(&a, &b);
        assert!(!found.equivalent, "{claim}: {}", found.relative_distance);
        assert!(by_running(&a, &b) > 1e-10, "{claim}");
        if let Some(s) = &found.softmax {
            // The matrices see it too, and about as large as it is.
            assert!(s.relative() > 1e-9, "{claim}: {s:?}");
        }
    }
}

#[test]
fn a_small_change_has_a_small_distance() {
    let a = block(4, Mask::Full, 2);
    for size in [1e-2, 1e-4, 1e-7] {
        let mut b = a.clone();
        b.heads[0].w_k *= 1.0 + size;
        let found = softmax_distance(&a, &b, 1e-11).expect("softmax").relative();
        assert!(found > 0.1 * size && found < 1.1 * size, "{size}: {found}");
        let [scores, values] = softmax_head_distance(&a.heads[0], &b.heads[0]);
        assert!((scores / size - 1.0).abs() < 0.02 && values == 0.0, "{size}: {scores} {values}");
    }
}

#[test]
fn under_a_strict_mask_value_biases_stay_with_their_head() {
    // The first token reads nothing, so a bias of the values is not one of the output.
    let a = block(5, Mask::Strict, 2);
    let mut b = a.clone();
    for h in &mut b.heads {
        b.b_o += &h.w_o * &h.b_v;
        h.b_v.fill(0.0);
    }
    assert!(by_running(&a, &b) > 1e-3);
    assert!(!verdict(&a, &b).equivalent);
    assert_eq!(softmax_folded(&a).b_o, a.b_o);
    let mut keys = a.clone();
    keys.heads[0].b_k.fill(2.0);
    assert!(by_running(&a, &keys) < 1e-12 && verdict(&a, &keys).equivalent);
}

#[test]
fn kernels_and_delta_memories_are_run() {
    type Kind = fn(&mut Head);
    let kinds: &[(&str, Kind)] = &[
        ("exponential", |h| h.normalisation = Normalisation::None),
        ("squared", |h| (h.kernel, h.normalisation) = (Kernel::Power(2), Normalisation::None)),
        ("divided", |h| (h.kernel, h.normalisation) = (Kernel::Power(2), Normalisation::Sum)),
        ("delta", |h| {
            (h.kernel, h.normalisation) = (Kernel::Linear, Normalisation::None);
            h.memory = Memory::Delta(pulvinar::attention::Rate::Constant(0.2));
        }),
    ];
    for (claim, kind) in kinds {
        let mut a = block(6, Mask::Causal, 2);
        a.heads.iter_mut().for_each(kind);
        let mut same = a.clone();
        same.heads.reverse();
        let found = verdict(&a, &same);
        assert!(found.equivalent && found.method == Method::Probe, "{claim}: {}", found.relative_distance);
        assert!(found.why_probe.is_some() && found.softmax.is_none(), "{claim}");
        let mut other = a.clone();
        other.heads[0].w_v[(1, 2)] += 1e-6;
        let found = verdict(&a, &other);
        assert!(!found.equivalent && found.probed.worst.is_some(), "{claim}");
        // A gauge that linear heads have, and these do not.
        if *claim == "delta" {
            let mut turned = a.clone();
            for h in &mut turned.heads {
                h.w_k *= 2.0;
                h.b_k *= 2.0;
                h.w_q *= 0.5;
                h.b_q *= 0.5;
            }
            assert!(!verdict(&a, &turned).equivalent, "a delta memory sees the size of its keys");
        }
    }
}
