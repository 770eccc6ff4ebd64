//! The closed-form loss of heads on in-context regression, beside drawn sequences and the known optimum.

use crate::support::from_text;
use nalgebra::{DMatrix, DVector};
use pulvinar::attention::{Block, Head, Kernel, Mask, Memory, Normalisation, Residual, forward};
use pulvinar::plasticity::tasks::regression_floor::{Setting, population_loss};
use pulvinar::plasticity::tasks::{Split, Task};
use pulvinar::seed;

const DRAWS: u64 = 40_000;

/// In-context regression in one stream (`two` false) or with the question in a stream of its own.
fn task(setting: Setting, two: bool) -> Task {
    let Setting { d, n, noise } = setting;
    let width = d + 1;
    let (streams, query, context, tokens) = if two {
        (
            format!("q: {{d_model: {width}}}, c: {{d_model: {width}}}, target: {{d_model: 1, clock: q}}"),
            "q",
            "c",
            "{query: q, context: c}",
        )
    } else {
        (format!("main: {{d_model: {width}}}, target: {{d_model: 1, clock: main}}"), "main", "main", "main")
    };
    let text = format!(
        "
schema: pulvinar/1
name: regression
seed: 5
tokens: {{streams: {{{streams}}}}}
thalamus:
  Q: {{pathway: core, per: [query], cells: {width}, tokens: {query}}}
  C: {{pathway: matrix, per: [context], cells: {width}, tokens: {context}}}
  HO: {{pathway: core, per: [query], cells: 1}}
areas:
  A1: {{template: {{key_value_memory_head: {{query: Q, context: C, to: HO, d_k: 2, d_v: 1}}}}}}
output: HO
task: {{in_context_regression: {{context: {n}, noise: {noise}, tokens: {tokens}}}}}
"
    );
    let (document, circuit) = from_text(&text).unwrap_or_else(|e| panic!("{e}"));
    let task = document.spec.reserved.task.expect("a task");
    let task = Task::new(&task, &circuit, &document.folder, None).unwrap_or_else(|d| panic!("{d}"));
    assert_eq!(task.regression(), Some(setting));
    task
}

/// Heads with random weights of a given size, on the streams of [`task`].
fn block(width: usize, masks: &[Mask], two: bool, size: f64) -> Block {
    let mut rng = seed::stream(9, "floor");
    let mut random =
        |rows, columns, std: f64| DMatrix::from_fn(rows, columns, |_, _| std * seed::normal(&mut rng));
    let (query, context) = if two { ("q", "c") } else { ("main", "main") };
    let mut head = |mask| Head {
        w_q: random(3, width, size),
        w_k: random(3, width, size),
        w_v: random(2, width, size),
        w_o: random(1, 2, size),
        b_q: DVector::zeros(3),
        b_k: DVector::zeros(3),
        b_v: DVector::zeros(2),
        scale: 0.7,
        kernel: Kernel::Linear,
        normalisation: Normalisation::None,
        mask,
        memory: Memory::Hebbian,
        query_stream: query.to_owned(),
        context_stream: context.to_owned(),
        value_stream: context.to_owned(),
        function: Vec::new(),
        sink: None,
        area: String::new(),
    };
    Block {
        relay: "HO".to_owned(),
        d_model: 1,
        clock_stream: query.to_owned(),
        heads: masks.iter().map(|m| head(*m)).collect(),
        residual: Vec::new(),
        b_o: DVector::zeros(1),
    }
}

/// `gain x_q . sum_j x_j y_j`.
fn one_step(setting: Setting, gain: f64) -> Block {
    let d = setting.d;
    let mut block = block(d + 1, &[Mask::Full], true, 1.0);
    let head = &mut block.heads[0];
    head.w_q = DMatrix::from_fn(d, d + 1, |i, j| f64::from(u8::from(i == j)));
    head.w_k = head.w_q.clone();
    head.w_v = DMatrix::from_fn(1, d + 1, |_, j| f64::from(u8::from(j == d)));
    head.w_o = DMatrix::from_element(1, 1, gain / head.scale);
    (head.b_q, head.b_k, head.b_v) = (DVector::zeros(d), DVector::zeros(d), DVector::zeros(1));
    block
}

/// Mean squared error at the last token, and its standard error.
fn sampled(block: &Block, task: &Task) -> (f64, f64) {
    let mut streams = task.sample();
    let (mut sum, mut square) = (0.0, 0.0);
    for k in 0..DRAWS {
        task.fill(Split::HeldOut, k, &mut streams).expect("a sequence");
        let y = forward(block, &streams).expect("runs");
        let target = &streams[task.target()];
        let error = (y[(0, y.ncols() - 1)] - target[(0, target.ncols() - 1)]).powi(2);
        sum += error;
        square += error * error;
    }
    let n = DRAWS as f64;
    let mean = sum / n;
    (mean, ((square / n - mean * mean) / n).sqrt())
}

#[test]
fn drawn_sequences_have_the_closed_form_loss() {
    let setting = |d, n, noise| Setting { d, n, noise };
    use Mask::{Causal, Full, Strict};
    let rows: &[(&str, Setting, bool, &[Mask], f64)] = &[
        ("two streams", setting(4, 8, 0.0), true, &[Full, Full], 0.35),
        ("two streams and noise", setting(3, 5, 0.8), true, &[Full], 0.5),
        ("strict", setting(3, 6, 0.5), false, &[Strict, Strict], 0.4),
        ("causal: the question reads itself", setting(3, 2, 0.5), false, &[Causal, Causal], 0.6),
        ("full: so it does here", setting(2, 3, 1.0), false, &[Full], 0.6),
        ("one head of each kind", setting(2, 2, 0.3), false, &[Strict, Full, Causal], 0.6),
    ];
    for (claim, setting, two, masks, size) in rows {
        let task = task(*setting, *two);
        let mut block = block(setting.d + 1, masks, *two, *size);
        for with_path in [false, true] {
            if with_path {
                let stream = block.clock_stream.clone();
                let matrix = DMatrix::from_fn(1, setting.d + 1, |_, j| 0.8 - 0.5 * j as f64);
                block.residual.push(Residual { stream, matrix });
                block.b_o[0] = 0.6;
            }
            let exact = population_loss(&block, setting).expect("a closed form");
            let (mean, error) = sampled(&block, &task);
            assert!(
                (mean - exact).abs() < 4.0 * error && error < 0.08 * exact,
                "{claim}, direct path {with_path}: drawn {mean} +- {error}, closed form {exact}"
            );
            assert!((exact - setting.d as f64).abs() > 5.0 * error, "{claim}: the heads do something");
        }
    }
}

#[test]
fn the_known_optimum_is_reached_and_is_one() {
    for (d, n, noise) in [(4, 8, 0.0), (5, 20, 0.5), (8, 16, 1.0), (1, 1, 0.2)] {
        let setting = Setting { d, n, noise };
        let (df, nf, s2) = (d as f64, n as f64, noise * noise);
        let want = df * (df + 1.0 + s2) / (nf + df + 1.0 + s2);
        assert!((setting.optimum() - want).abs() < 1e-14 * want);
        let best = one_step(setting, setting.gain());
        let loss = |b: &Block| population_loss(b, &setting).expect("a closed form");
        assert!((loss(&best) - want).abs() < 1e-12 * want, "{d} {n} {noise}: {} not {want}", loss(&best));
        assert!((loss(&one_step(setting, 0.0)) - df).abs() < 1e-12, "no head, no guess");
        // Steps away from it in any direction cost something, and of second order.
        let mut rng = seed::stream(3, "directions");
        for _ in 0..20 {
            let cost = |step: f64, rng: &mut rand_chacha::ChaCha8Rng| {
                let mut other = best.clone();
                let head = &mut other.heads[0];
                for w in [&mut head.w_q, &mut head.w_k, &mut head.w_v, &mut head.w_o] {
                    w.iter_mut().for_each(|x| *x += step * seed::normal(rng) * x.abs().max(0.1));
                }
                loss(&other) - want
            };
            let here = rng.clone();
            let (far, near) = (cost(1e-3, &mut rng), cost(1e-4, &mut here.clone()));
            assert!(near > 0.0 && (80.0..125.0).contains(&(far / near)), "{far} {near}");
        }
    }
}

type Change = fn(&mut Block);

#[test]
fn what_has_no_closed_form_says_why() {
    let setting = Setting { d: 3, n: 4, noise: 0.0 };
    let rows: &[(&str, Change)] = &[
        ("kernel", |b| b.heads[0].kernel = Kernel::Exp),
        ("divided", |b| b.heads[1].normalisation = Normalisation::Sum),
        ("forgets", |b| b.heads[0].memory = Memory::Decay(0.9)),
        ("biases", |b| b.heads[0].b_k[0] = 0.1),
        ("two streams", |b| b.heads[0].value_stream = "other".to_owned()),
        ("other streams", |b| b.heads[1].query_stream = "c".to_owned()),
        ("another width", |b| b.heads[0].w_q = DMatrix::zeros(3, 5)),
        ("direct path", |b| {
            b.residual.push(Residual { stream: "c".to_owned(), matrix: DMatrix::zeros(1, 4) });
        }),
        ("not one", |b| b.d_model = 2),
        ("no head", |b| b.heads.clear()),
    ];
    for (word, change) in rows {
        let mut block = block(4, &[Mask::Full, Mask::Full], true, 0.5);
        assert!(population_loss(&block, &setting).is_ok());
        change(&mut block);
        let error = population_loss(&block, &setting).expect_err(word).to_string();
        assert!(error.contains(word), "{word}: {error}");
    }
}
