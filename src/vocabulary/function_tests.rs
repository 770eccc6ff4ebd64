use super::*;

fn named(name: &str) -> Function {
    if let Some(p) = name.strip_prefix("Power ") {
        return Function::Power(Exponent::new(p.parse().unwrap()).unwrap());
    }
    Function::PLAIN.into_iter().find(|f| format!("{f:?}") == name).unwrap()
}

/// Values and slopes computed with 40 digits (mpmath 1.3), rounded to doubles; PyTorch 2 agrees with each to 1.4e-15 of
/// max(1, |value|).
#[test]
fn values_and_slopes_are_those_of_forty_digits() {
    let rows = include_str!("function_values.csv").lines().skip(1);
    for row in rows {
        let cells: Vec<&str> = row.split(',').collect();
        let (f, [x, value, slope]) =
            (named(cells[0]), [1, 2, 3].map(|i: usize| cells[i].parse::<f64>().unwrap()));
        for (what, got, want) in [("value", f.value(x), value), ("slope", f.slope(x), slope)] {
            let error = (got - want).abs() / want.abs().max(1.0);
            assert!(error <= 1e-15, "{row}: {what} {got}, {error:e} off");
        }
        // Tails of the exact gelu keep their digits.
        if f == Function::Gelu {
            assert!((f.value(x) - value).abs() <= 4e-15 * value.abs(), "{row}: {}", f.value(x));
        }
        let single = f.value(x as f32);
        assert!((f64::from(single) - value).abs() <= 1e-6 * value.abs().max(1.0), "{row}: {single}");
    }
}

#[test]
fn slopes_are_differences() {
    let powers = [1.0, 2.0, 3.0, 0.5, 2.5].map(|p| Function::Power(Exponent::new(p).unwrap()));
    for f in Function::PLAIN.into_iter().chain(powers) {
        for x in [-2.3f64, -0.7, 0.4, 1.1, 3.6] {
            if f.value(x).is_nan() {
                continue;
            }
            let h = 1e-5f64;
            let want = (f.value(x + h) - f.value(x - h)) / (2.0 * h);
            assert!((f.slope(x) - want).abs() < 1e-8 * want.abs().max(1.0), "{f:?} at {x}");
            assert_eq!(f.slope(x).to_bits(), f.slope_at(x, f.value(x)).to_bits());
            if !f.slope_reads_argument() {
                assert_eq!(f.slope_at(f64::NAN, f.value(x)).to_bits(), f.slope(x).to_bits(), "{f:?}");
            }
        }
    }
}

#[test]
fn kinks_have_slope_0_and_roots_of_negative_numbers_no_value() {
    let power = |p: f64| Function::Power(Exponent::new(p).unwrap());
    for f in [Function::Relu, Function::Sign, Function::Sqrt, power(0.5), power(0.99), power(2.0), power(1.5)]
    {
        assert_eq!(f.slope(0.0), 0.0, "{f:?}");
        assert_eq!(f.slope(-0.0), 0.0, "{f:?}");
        assert_eq!(f.value(0.0), 0.0, "{f:?}");
    }
    assert_eq!(power(1.0).slope(0.0), 1.0);
    for f in [Function::Sqrt, power(0.5), power(2.5)] {
        assert!(f.value(-1e-300f64).is_nan() && f.value(f64::NEG_INFINITY).is_nan(), "{f:?}");
    }
    assert_eq!((power(3.0).value(-2.0), power(2.0).value(-2.0)), (-8.0, 4.0));
    assert_eq!(power(1025.0).value(-1.0), -1.0);
    for f in Function::PLAIN {
        assert!(f.value(f64::NAN).is_nan(), "{f:?} of no number");
    }
}

#[test]
fn what_is_known_on_paper_holds() {
    let powers = [1.0, 2.0, 3.0, 0.5].map(|p| Function::Power(Exponent::new(p).unwrap()));
    let arguments = [
        (OnPaper::Any, vec![-40.0f64, -3.0, -0.2, 0.0, 0.2, 3.0]),
        (OnPaper::NonNegative, vec![0.0, 0.2, 3.0, 40.0]),
        (OnPaper::Positive, vec![1e-9, 0.2, 3.0, 40.0]),
    ];
    for f in Function::PLAIN.into_iter().chain(powers) {
        for (known, xs) in &arguments {
            let holds = |y: f64| match f.on_paper(*known) {
                OnPaper::Any => true,
                OnPaper::NonNegative => y >= 0.0,
                OnPaper::Positive => y > 0.0,
            };
            assert!(xs.iter().map(|x| f.value(*x)).all(|y| y.is_nan() || holds(y)), "{f:?} {known:?}");
        }
    }
}
