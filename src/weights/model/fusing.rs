//! How queries, keys and values share the rows of one matrix.

use super::config::Config;
use super::keys;
use crate::files::Bad;
use crate::weights::tensors::Counts;

/// Of `heads` query heads and `shared` key and value heads, of `d` rows each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::weights) enum Fusing {
    /// matrices of their own
    Apart,
    /// all queries, all keys, all values; as many of each
    Thirds,
    /// all queries, all keys, all values
    Blocks,
    /// head by head: query, key, value
    PerHead,
    /// group by group: the queries that share a key, the key, the value
    Groups,
    /// four parts, each of a quarter of the queries, then values, then keys
    Quarters,
    /// [`Self::Blocks`] with one key where `multi_query`, else [`Self::PerHead`]
    MultiQuery,
    /// [`Self::Groups`] in the new decoder, else as [`Self::MultiQuery`]
    Falcon,
}

impl Fusing {
    /// What it is in a model of this configuration.
    pub(super) fn resolved(self, config: &Config) -> Result<Self, Bad> {
        let one = |default| Ok::<bool, Bad>(config.flag(keys::MULTI_QUERY)?.unwrap_or(default));
        Ok(match self {
            Self::Falcon if config.flag(keys::NEW_DECODER)? == Some(true) => Self::Groups,
            Self::Falcon | Self::MultiQuery => {
                if one(true)? {
                    Self::Blocks
                } else {
                    Self::PerHead
                }
            }
            other => other,
        })
    }

    /// Key and value heads of a model of this configuration.
    pub(super) fn shared(self, config: &Config, heads: usize) -> Result<usize, Bad> {
        let said = config.whole(keys::SHARED)?;
        Ok(match (self, self.resolved(config)?) {
            (Self::MultiQuery | Self::Falcon, Self::Blocks) => 1,
            (Self::MultiQuery | Self::Falcon, Self::PerHead) => heads,
            _ => said.unwrap_or(heads),
        })
    }
}

/// The rows of queries, keys and values; nothing where the counts do not fit a way of fusing.
pub(in crate::weights) fn rows(fusing: Fusing, counts: Counts, d: usize) -> Option<[Vec<usize>; 3]> {
    let Counts { heads, shared, .. } = counts;
    let run = |from: usize, n: usize| from * d..(from + n) * d;
    let mut out = [const { Vec::new() }; 3];
    match fusing {
        Fusing::Apart | Fusing::MultiQuery | Fusing::Falcon => return None,
        Fusing::Thirds | Fusing::Blocks => {
            out[0].extend(run(0, heads));
            out[1].extend(run(heads, shared));
            out[2].extend(run(heads + shared, shared));
        }
        Fusing::PerHead | Fusing::Groups => {
            let group = if fusing == Fusing::PerHead { 1 } else { heads / shared };
            if heads != shared * group {
                return None;
            }
            for g in 0..shared {
                let from = g * (group + 2);
                out[0].extend(run(from, group));
                out[1].extend(run(from + group, 1));
                out[2].extend(run(from + group + 1, 1));
            }
        }
        Fusing::Quarters => {
            if heads != shared || !heads.is_multiple_of(4) {
                return None;
            }
            let n = heads / 4;
            for part in 0..4 {
                let from = part * 3 * n;
                out[0].extend(run(from, n));
                out[2].extend(run(from + n, n));
                out[1].extend(run(from + 2 * n, n));
            }
        }
    }
    Some(out)
}
