//! Maps of one token, loops, windows, positions, and what diverges, against numbers known in closed form.

use super::*;

/// A single cell per query of activation `f` whose inputs are `weights` x the first number of the token.
fn of_first(tokens: &[f64], f: Activation) -> (Wiring, usize) {
    let rows: Rows = tokens.iter().map(|x| vec![*x, 1.0, 0.0, 0.0]).collect();
    let mut w = Wiring::new(&rows, Mask::Full);
    let cell = w.population("cell", "i", (1, 1), f);
    w.wire(0, cell, Basal, vec![vec![1.0, 0.0, 0.0, 0.0]]);
    (w, cell)
}

fn first_of(sent: &[Sent], p: usize) -> Vec<f64> {
    sent[p].values.iter().map(|row| row[0][0]).collect()
}

/// By arithmetic of 30 digits.
#[test]
fn activations_have_their_values() {
    let x = [-9.0, -3.5, -2.1, -0.7, 0.3, 1.9, 2.5, 6.0];
    let gelu = [
        -1.0157295653584566e-18,
        -0.0008142017766243376,
        -0.03751528318191477,
        -0.1693745565561511,
        0.1853734266566858,
        1.8454385363495966,
        2.4844758366855597,
        5.999999994080474,
    ];
    let gelu_tanh = [
        -1.3356401201523256e-28,
        -0.0006161976553736633,
        -0.03733099503888788,
        -0.16942986529488324,
        0.18537092354275925,
        1.8454512344553327,
        2.484915733910001,
        5.9999999999156035,
    ];
    let silu = [
        -0.0011105511838760856,
        -0.10259280762974711,
        -0.22910332451078716,
        -0.23226855948228373,
        0.1723327550434977,
        1.6527938987103041,
        2.310354549946891,
        5.985164261060191,
    ];
    for (f, want) in [(Activation::Gelu, gelu), (Activation::GeluTanh, gelu_tanh), (Activation::Silu, silu)] {
        let (w, cell) = of_first(&x, f);
        let got = first_of(&evaluate(&w.net).unwrap(), cell);
        for (g, t) in got.iter().zip(want) {
            assert!((g - t).abs() < 4e-16 * t.abs().max(1.0), "{f:?}: {g} is not {t}");
        }
    }
    let rows: &[(&str, Activation, f64, Option<f64>)] = &[
        ("a root", Activation::Sqrt, 2.25, Some(1.5)),
        ("a root of nothing", Activation::Sqrt, 0.0, Some(0.0)),
        ("no root below 0", Activation::Sqrt, -1e-9, None),
        ("a real power", Activation::Power(1.5), 4.0, Some(8.0)),
        ("no real power below 0", Activation::Power(1.5), -4.0, None),
        ("a whole power of any number", Activation::Power(3.0), -2.0, Some(-8.0)),
        ("a quarter turn", Activation::Sine, std::f64::consts::FRAC_PI_2, Some(1.0)),
        ("tanh 1", Activation::Tanh, 1.0, Some(0.761_594_155_955_764_9)),
    ];
    for (claim, f, x, want) in rows {
        let (w, cell) = of_first(&[*x], *f);
        let sent = evaluate(&w.net).unwrap();
        assert_eq!(diverged(&w.net, &sent), want.is_none().then_some("cell"), "{claim}");
        if let Some(want) = want {
            assert!((first_of(&sent, cell)[0] - want).abs() < 1e-15, "{claim}");
        }
    }
}

#[test]
fn windows_see_tokens_that_are_near() {
    let seen = |mask: Mask| -> Vec<Vec<usize>> {
        (0..5).map(|i| (0..5).filter(|j| mask.sees(i, *j)).collect()).collect()
    };
    assert_eq!(seen(Mask::CausalWindow(2)), [vec![0], vec![0, 1], vec![1, 2], vec![2, 3], vec![3, 4]]);
    assert_eq!(seen(Mask::StrictWindow(2)), [vec![], vec![0], vec![0, 1], vec![1, 2], vec![2, 3]]);
    assert_eq!(
        seen(Mask::FullWindow(1)),
        [vec![0, 1], vec![0, 1, 2], vec![1, 2, 3], vec![2, 3, 4], vec![3, 4]]
    );
    // a sum over the window alone
    let (_, tokens) = head(9, heads::Mask::Full);
    let mut w = Wiring::new(&tokens, Mask::Full);
    let sum = w.population("sum", "i", (1, 1), Linear);
    w.wire(1, sum, Basal, vec![vec![1.0, 0.0, 0.0, 0.0]]).mask = Some(Mask::CausalWindow(3));
    let got = first_of(&evaluate(&w.net).unwrap(), sum);
    for (i, y) in got.iter().enumerate() {
        let want: f64 = (i.saturating_sub(2)..=i).map(|j| tokens[j][0]).sum();
        assert!((y - want).abs() < 1e-15);
    }
    let rule = Accumulate::Hebbian { rate: 1.0 };
    let mut w = Wiring::new(&tokens, Mask::CausalWindow(3));
    let memory = w.population("memory", "j", (1, 1), Linear);
    w.net.populations[memory].accumulate = Some(rule);
    w.wire(1, memory, Basal, ones(1, D));
    assert_eq!(evaluate(&w.net).unwrap_err().to_string(), "memory: a memory has no window");
}

#[test]
fn positions_are_functions_of_the_number() {
    let one = |p: &Positions, i: usize| p.tokens(1, i).unwrap().remove(0);
    assert_eq!(Positions::Index.tokens(3, 4).unwrap(), [[4.0], [5.0], [6.0]]);
    assert_eq!(Positions::OneHot(3).tokens(2, 1).unwrap(), [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
    assert_eq!(Positions::OneHot(3).tokens(3, 1), None);
    // frequencies 1 and theta^(-1/2) = 1/10
    let (c, s) = ([2f64.cos(), 0.2f64.cos()], [2f64.sin(), 0.2f64.sin()]);
    for (pairing, order) in [(Pairing::Halves, [0, 1, 0, 1]), (Pairing::Pairs, [0, 0, 1, 1])] {
        let got = one(&Positions::rotary(4, 100.0, 1.5, pairing), 2);
        let want: Vec<f64> =
            order.iter().map(|f| 1.5 * c[*f]).chain(order.iter().map(|f| 1.5 * s[*f])).collect();
        assert!(got.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-15), "{got:?} {want:?}");
    }
    let got = one(&Positions::Sinusoid { d_model: 4, theta: 100.0 }, 2);
    assert!(got.iter().zip([s[0], c[0], s[1], c[1]]).all(|(a, b)| (a - b).abs() < 1e-15), "{got:?}");
}

/// r = a + w r, and r = v / r, and both with an interneuron between: fixed points that are known.
#[test]
fn loops_settle_where_cells_do() {
    let recurrent = |w: f64, divisive: bool, tokens: &[f64]| {
        let (mut net, cell) = of_first(tokens, Linear);
        let back = net.wire(cell, cell, Basal, vec![vec![w]]);
        (back.delayed, back.divisive) = (true, divisive);
        let sent = evaluate(&net.net).unwrap();
        (first_of(&sent, cell), diverged(&net.net, &sent).is_some())
    };
    let tokens = [2.0, 0.5, 0.0, 1e-8];
    for w in [0.5, -0.9, -9.0, -18.0] {
        let (got, lost) = recurrent(w, false, &tokens);
        assert!(!lost, "{w}");
        for (y, x) in got.iter().zip(tokens) {
            assert!((y - x / (1.0 - w)).abs() < 1e-12, "r = a + {w} r: {y}");
        }
    }
    assert!(recurrent(1.5, false, &[1.0]).1, "excitation that runs away");
    assert!(recurrent(-40.0, false, &[1.0]).1, "inhibition that overshoots more each round");
    let (got, lost) = recurrent(1.0, true, &tokens);
    assert!(!lost);
    for (y, x) in got.iter().zip(tokens) {
        assert!((y - x.sqrt()).abs() <= 1e-12 * x.sqrt(), "g = v / g: {y} is not the root of {x}");
    }
    assert_eq!(recurrent(1.0, true, &[-1.0]).0.len(), 1);
    assert!(recurrent(1.0, true, &[-1.0]).1, "g = -1 / g has no solution");

    // The divisor is an interneuron: it is silent for more than one round.
    let (mut net, cell) = of_first(&tokens, Linear);
    let between = net.population("between", "i", (1, 1), Linear);
    net.wire(cell, between, Basal, vec![vec![4.0]]);
    let back = net.wire(between, cell, Basal, vec![vec![1.0]]);
    (back.delayed, back.divisive) = (true, true);
    let sent = evaluate(&net.net).unwrap();
    for (y, x) in first_of(&sent, cell).iter().zip(tokens) {
        assert!((y - (x / 4.0).sqrt()).abs() < 1e-12, "g = v / (4 g): {y}");
    }

    // A skew pair: a = x - 3 b, b = 3 a.
    let (mut net, cell) = of_first(&[5.0], Linear);
    let other = net.population("other", "i", (1, 1), Linear);
    net.wire(cell, other, Basal, vec![vec![3.0]]);
    net.wire(other, cell, Basal, vec![vec![-3.0]]).delayed = true;
    let sent = evaluate(&net.net).unwrap();
    assert!(
        (first_of(&sent, cell)[0] - 0.5).abs() < 1e-12 && (first_of(&sent, other)[0] - 1.5).abs() < 1e-12
    );
}

#[test]
fn loops_of_other_shapes_are_errors() {
    let (_, tokens) = head(10, heads::Mask::Full);
    let rows: &[(&str, &str, bool, &str)] = &[
        ("without a delay", "i", false, "2_to_2: its source comes after its target"),
        ("among pairs", "ij", true, "a: a loop lies among populations of one token index"),
    ];
    for (claim, per, delayed, want) in rows {
        let mut w = Wiring::new(&tokens, Mask::Full);
        let a = w.population("a", per, (1, 1), Linear);
        w.wire(0, a, Basal, ones(1, D));
        w.wire(a, a, Basal, ones(1, 1)).delayed = *delayed;
        assert_eq!(evaluate(&w.net).unwrap_err().to_string(), *want, "{claim}");
    }
}

/// Weights divided by what they add up to: over the cells of a token, and with a sink.
#[test]
fn pools_that_underflow_diverge_and_empty_ones_do_not() {
    // p = x e / (e + sink), e = exp(x)
    let pool = |x: f64, sink: f64, f: Activation| {
        let (mut w, e) = of_first(&[x], f);
        let total = w.population("total", "i", (1, 1), Linear);
        w.wire(e, total, Basal, ones(1, 1));
        if sink != 0.0 {
            let tonic = w.population("tonic", "", (1, 1), Linear);
            w.net.populations[tonic].kind = Kind::Constant(1.0);
            // the order of populations is that of their names here: the sink comes first
            w.net.populations.swap(total, tonic);
            for s in &mut w.net.projections {
                for end in [&mut s.from, &mut s.to] {
                    *end = if *end == total { tonic } else { *end };
                }
            }
            w.wire(total, tonic, Basal, vec![vec![sink]]);
        }
        let total = w.net.populations.iter().position(|p| p.name == "total").unwrap();
        let p = w.population("p", "i", (1, 1), Linear);
        w.wire(e, p, Basal, ones(1, 1));
        w.wire(total, p, Basal, ones(1, 1)).divisive = true;
        let sent = evaluate(&w.net).unwrap();
        (first_of(&sent, p)[0], diverged(&w.net, &sent).map(str::to_owned))
    };
    let lost = Some("p".to_owned());
    assert_eq!(pool(-3.0, 0.0, Exp), (1.0, None));
    assert_eq!(pool(-800.0, 0.0, Exp).1, lost, "it underflowed");
    assert_eq!(pool(-735.0, 0.0, Exp).1, lost, "its last digits did");
    assert_eq!(pool(-800.0, 0.5, Exp), (0.0, None), "a sink is left");
    assert_eq!(pool(-800.0, 0.0, Activation::Sigmoid).1, lost);
    assert_eq!(pool(-800.0, 0.0, Activation::EluPlusOne).1, lost);
    assert_eq!(pool(-1.0, 0.0, Activation::Relu), (0.0, None), "0/0 is 0");
}
