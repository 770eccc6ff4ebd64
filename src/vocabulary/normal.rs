//! The normal law, to a few units in the last place.
//!
//! `Phi(-t) = phi(t) R(t)` with the density `phi` and Mills' ratio `R`, where `(t + 4) R(t)` is a short Chebyshev series in
//! `s = (t - 4) / (t + 4)`, which lies in [-1, 1) for all `t >= 0` (the way of Schonfelder 1978, Math. Comp. 32:1232; the
//! coefficients are this project's, computed with 40 digits).

/// Chebyshev coefficients of `(t + 4) R(t)`, lowest first.
const MILLS: [f64; 26] = [
    2.432_560_428_515_040_4,
    -1.884_254_574_579_483_4,
    0.556_956_649_096_381_7,
    -0.121_615_972_144_204_57,
    0.017_360_708_143_727_772,
    -0.000_803_621_200_729_965_7,
    -0.000_252_034_934_805_435_3,
    4.738_371_927_058_117_5e-5,
    2.532_589_136_598_825_7e-6,
    -1.540_406_983_991_3e-6,
    -8.474_960_630_061_696e-9,
    5.185_338_601_094_672e-8,
    -2.828_129_327_660_25e-10,
    -1.948_656_637_889_107_6e-9,
    -2.491_945_496_827_568e-11,
    7.957_248_719_448_846e-11,
    4.618_414_179_155_219e-12,
    -3.290_856_124_224_380_2e-12,
    -4.365_384_043_809_639_6e-13,
    1.230_071_183_923_411_4e-13,
    3.241_417_358_210_446e-14,
    -3.053_239_558_710_784_3e-15,
    -2.018_374_027_545_062_3e-15,
    -7.170_195_498_490_918e-17,
    1.016_955_240_130_634_3e-16,
    1.756_244_231_625_816_7e-17,
];
const CENTRE: f64 = 4.0;

/// `exp(-x^2/2) / sqrt(2 pi)`.
pub fn density(x: f64) -> f64 {
    // The leading half of the digits of x has an exact square.
    let high = f64::from_bits(x.to_bits() & !((1 << 27) - 1));
    let low = (x - high) * (x + high);
    let norm = std::f64::consts::FRAC_1_SQRT_2 * (0.5 * std::f64::consts::FRAC_2_SQRT_PI);
    norm * (-0.5 * high * high).exp() * (-0.5 * low).exp()
}

/// The share of the normal law below `x`.
pub fn below(x: f64) -> f64 {
    let t = x.abs();
    if t > 40.0 {
        return if x > 0.0 { 1.0 } else { 0.0 };
    }
    let s = (t - CENTRE) / (t + CENTRE);
    // Clenshaw's recurrence.
    let (mut one, mut two) = (0.0, 0.0);
    for c in MILLS[1..].iter().rev() {
        (one, two) = (2.0 * s * one - two + c, one);
    }
    let tail = density(t) * (s * one - two + MILLS[0]) / (t + CENTRE);
    if x > 0.0 { 1.0 - tail } else { tail }
}
