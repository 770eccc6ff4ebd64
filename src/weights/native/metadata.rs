//! Metadata to the settings of heads.

use super::KEYS;
use super::read::{Part, split, wrong};
use crate::attention::{Kernel, Memory, Normalisation, Rate};
use crate::diag::{did_you_mean, nearest, one_of};
use crate::files::Bad;
use std::collections::BTreeMap;
use std::str::FromStr;

/// Metadata may hold other things, but a slip in one of our keys must not pass for one of them.
pub(super) fn check_keys(metadata: &BTreeMap<String, String>, prefixes: &[String]) -> Result<(), Bad> {
    let keys = || KEYS.into_iter().chain(["residual"]);
    for key in metadata.keys() {
        let (prefix, bare) = split(key);
        let ours = keys().any(|k| k == bare);
        if ours && !prefixes.iter().any(|p| p == prefix) {
            return Err(wrong(format!("metadata `{key}` belongs to no block of this file")).help(format!(
                "the blocks have the prefixes {}",
                one_of(prefixes.iter().map(String::as_str))
            )));
        }
        let slip = if bare.len() < 5 {
            keys().find(|k| k.eq_ignore_ascii_case(bare))
        } else {
            nearest(bare, keys())
        };
        if let (false, Some(meant)) = (ours, slip) {
            return Err(
                wrong(format!("metadata key `{key}` is not known")).help(format!("did you mean `{meant}`?"))
            );
        }
    }
    Ok(())
}

impl Part<'_> {
    /// One entry per head, trimmed; `None` where the file does not say.
    pub(super) fn list(&self, key: &str, n: usize) -> Result<Option<Vec<String>>, Bad> {
        let full = format!("{}{key}", self.prefix);
        let Some(text) = self.metadata.get(&full) else { return Ok(None) };
        let list: Vec<String> = if n == 0 && text.is_empty() {
            vec![]
        } else {
            text.split(',').map(|s| s.trim().to_owned()).collect()
        };
        if list.len() != n {
            let shown: String = text.chars().take(60).collect();
            return Err(wrong(format!(
                "metadata `{full}` has {} entries for {n} heads: {shown:?}",
                list.len()
            ))
            .help("write one entry per head, separated by commas"));
        }
        Ok(Some(list))
    }

    /// One number per head.
    fn numbers<T: FromStr>(&self, key: &str, n: usize) -> Result<Option<Vec<T>>, Bad> {
        let Some(list) = self.list(key, n)? else { return Ok(None) };
        let parse = |(h, text): (usize, &String)| {
            text.parse().map_err(|_| {
                let full = format!("{}{key}", self.prefix);
                wrong(format!("metadata `{full}`, head {h}: {text:?} is not a number that fits"))
            })
        };
        list.iter().enumerate().map(parse).collect::<Result<_, _>>().map(Some)
    }

    fn finite(&self, key: &str, n: usize) -> Result<Option<Vec<f64>>, Bad> {
        let Some(list) = self.numbers::<f64>(key, n)? else { return Ok(None) };
        match list.iter().position(|x| !x.is_finite()) {
            Some(h) => {
                Err(Bad::new("F010", format!("metadata `{}{key}`, head {h}: {}", self.prefix, list[h])))
            }
            None => Ok(Some(list)),
        }
    }

    /// Widths, each at most that of the tensor; all of it where the file does not say.
    pub(super) fn sizes(&self, key: &str, n: usize, limit: usize) -> Result<Vec<usize>, Bad> {
        let Some(list) = self.numbers::<usize>(key, n)? else { return Ok(vec![limit; n]) };
        match list.iter().position(|&d| d > limit) {
            Some(h) => {
                let (prefix, d) = (self.prefix, list[h]);
                Err(wrong(format!(
                    "metadata `{prefix}{key}`, head {h}: {d} is more than the {limit} of the tensor"
                )))
            }
            None => Ok(list),
        }
    }

    /// One of several words per head, the first where the file does not say.
    pub(super) fn choices<T: Copy>(
        &mut self,
        key: &'static str,
        n: usize,
        of: &[T],
        name: fn(T) -> &'static str,
    ) -> Result<Vec<T>, Bad> {
        let Some(list) = self.list(key, n)? else {
            self.assumed.push(key);
            return Ok(vec![of[0]; n]);
        };
        let parse = |(h, word): (usize, &String)| {
            of.iter().copied().find(|&x| name(x) == word).ok_or_else(|| self.unknown(key, h, word, of, name))
        };
        list.iter().enumerate().map(parse).collect()
    }

    fn unknown<T: Copy>(
        &self,
        key: &str,
        h: usize,
        word: &str,
        of: &[T],
        name: fn(T) -> &'static str,
    ) -> Bad {
        wrong(format!("metadata `{}{key}`, head {h}: {word:?} is not known", self.prefix))
            .help(did_you_mean(word, of.iter().map(|&x| name(x))))
    }

    pub(super) fn kernels(&mut self, n: usize) -> Result<Vec<Kernel>, Bad> {
        let mut kernels =
            self.choices("kernel", n, &[Kernel::Linear, Kernel::Exp, Kernel::Power(2)], Kernel::name)?;
        if !kernels.contains(&Kernel::Power(2)) {
            self.list("exponent", n)?;
            return Ok(kernels);
        }
        let exponents = self.needed("exponent", "power", self.numbers::<u32>("exponent", n)?)?;
        for (h, (kernel, exponent)) in kernels.iter_mut().zip(exponents).enumerate() {
            if let Kernel::Power(power) = kernel {
                if exponent < 2 {
                    return Err(wrong(format!(
                        "metadata `{}exponent`, head {h}: {exponent} is below 2",
                        self.prefix
                    )));
                }
                *power = exponent;
            }
        }
        Ok(kernels)
    }

    pub(super) fn normalisations(&mut self, n: usize, kernels: &[Kernel]) -> Result<Vec<Normalisation>, Bad> {
        let (known, silent) = ([Normalisation::None, Normalisation::Sum], self.assumed.len());
        let list = self.choices("normalisation", n, &known, Normalisation::name)?;
        if self.assumed.len() == silent {
            return Ok(list);
        }
        let usual = |k: &Kernel| if *k == Kernel::Exp { Normalisation::Sum } else { Normalisation::None };
        Ok(kernels.iter().map(usual).collect())
    }

    #[allow(clippy::cast_precision_loss)]
    pub(super) fn scales(&mut self, n: usize, kernels: &[Kernel], keys: &[usize]) -> Result<Vec<f64>, Bad> {
        if let Some(scales) = self.finite("scale", n)? {
            return Ok(scales);
        }
        self.assumed.push("scale");
        let usual = |(kernel, &d): (&Kernel, &usize)| {
            if *kernel == Kernel::Exp { 1.0 / (d.max(1) as f64).sqrt() } else { 1.0 }
        };
        Ok(kernels.iter().zip(keys).map(usual).collect())
    }

    pub(super) fn memories(&mut self, n: usize) -> Result<Vec<Memory>, Bad> {
        let known = ["none", "hebbian", "decay", "delta"];
        let words = self.choices("memory", n, &known, |word| word)?;
        let (decays, rates) = (self.finite("decay", n)?, self.finite("rate", n)?);
        let decays =
            if words.contains(&"decay") { self.needed("decay", "decay", decays)? } else { vec![1.0; n] };
        let rates =
            if words.contains(&"delta") { self.needed("rate", "delta", rates)? } else { vec![0.0; n] };
        let memory = |((word, g), b): ((&str, f64), f64)| match word {
            "hebbian" => Memory::Hebbian,
            "decay" => Memory::Decay(g),
            "delta" => Memory::Delta(Rate::Constant(b)),
            _ => Memory::None,
        };
        Ok(words.into_iter().zip(decays).zip(rates).map(memory).collect())
    }

    fn needed<T>(&self, key: &str, by: &str, value: Option<T>) -> Result<T, Bad> {
        value
            .ok_or_else(|| wrong(format!("a head is `{by}`, but metadata `{}{key}` is missing", self.prefix)))
    }

    pub(super) fn streams(&mut self, key: &'static str, n: usize) -> Result<Vec<String>, Bad> {
        let list = self.list(key, n)?;
        if list.is_none() {
            self.assumed.push(key);
        }
        Ok(list.unwrap_or_else(|| vec!["main".to_owned(); n]))
    }

    pub(super) fn single(&mut self, key: &'static str, usual: &str) -> String {
        let given = self.metadata.get(&format!("{}{key}", self.prefix));
        if given.is_none() {
            self.assumed.push(key);
        }
        given.map_or_else(|| usual.to_owned(), Clone::clone)
    }
}
