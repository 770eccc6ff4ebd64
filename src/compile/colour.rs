//! Which context factor of a term is a key and which a value: two colours for factors that meet.
//!
//! Factors are joined term by term into sets in which each knows whether it has the colour of the first one; no graph is
//! kept, so the cost is that of reading the terms.

use super::atoms::{Atom, Origin};
use super::hash::HashMap;
use super::term::Term;

/// One term with its context factors told apart.
#[derive(Clone, Copy, Debug)]
pub struct Oriented {
    pub column: u32,
    pub coefficient: f64,
    pub query: Option<Atom>,
    pub key: Option<Atom>,
    pub value: Option<Atom>,
    pub gate: Option<u32>,
    pub origin: Origin,
}

impl Oriented {
    /// The first context factor is the key, or the value if `swap`.
    pub fn of(column: u32, t: &Term, swap: bool) -> Self {
        let [a, b] = t.context;
        let (key, value) = if swap { (b, a) } else { (a, b) };
        Self {
            column,
            coefficient: t.coefficient,
            query: t.query,
            key,
            value,
            gate: t.gate,
            origin: t.origin,
        }
    }

    /// With key and value exchanged.
    pub fn swapped(self) -> Self {
        Self { key: self.value, value: self.key, ..self }
    }
}

/// The terms of each connected set of factors, the first factor of each set a key; `None` if two factors that meet would
/// need one colour.
pub fn colour(terms: &[(u32, Term)], vertex: impl Fn(Atom) -> u32) -> Option<Vec<Vec<Oriented>>> {
    let mut nodes: HashMap<u32, usize> = HashMap::default();
    let mut sets = Sets::default();
    let mut met: Vec<bool> = Vec::new();
    let mut of_term: Vec<Option<usize>> = Vec::with_capacity(terms.len());
    for (_, t) in terms {
        let mut node = |a: Atom| {
            *nodes.entry(vertex(a)).or_insert_with(|| {
                met.push(false);
                sets.add()
            })
        };
        let ends = t.context.map(|a| a.map(&mut node));
        of_term.push(ends[0]);
        if let [Some(a), Some(b)] = ends {
            if !sets.join(a, b, true) {
                return None;
            }
            (met[a], met[b]) = (true, true);
        }
    }
    // Factors that meet no other (the second is a constant) get one colour together.
    let mut alone = (0..met.len()).filter(|n| !met[*n]);
    if let Some(first) = alone.next() {
        for node in alone {
            sets.join(first, node, false);
        }
    }
    // Sets in the order of their first factors; terms without any context factor form one more.
    let mut number = vec![usize::MAX; met.len()];
    let mut count = 0;
    for (node, place) in number.iter_mut().enumerate() {
        if sets.find(node).0 == node {
            *place = count;
            count += 1;
        }
    }
    let mut parts = vec![Vec::new(); count + 1];
    for ((column, t), node) in terms.iter().zip(of_term) {
        let (part, other_colour) = match node {
            None => (count, false),
            Some(node) => {
                let (first, differs) = sets.find(node);
                (number[first], differs)
            }
        };
        parts[part].push(Oriented::of(*column, t, other_colour));
    }
    parts.retain(|p| !p.is_empty());
    Some(parts)
}

/// Disjoint sets of numbers; each member knows whether it has the colour of the first one of its set.
#[derive(Default)]
struct Sets {
    parent: Vec<usize>,
    /// from the parent
    differs: Vec<bool>,
}

impl Sets {
    fn add(&mut self) -> usize {
        self.parent.push(self.parent.len());
        self.differs.push(false);
        self.parent.len() - 1
    }

    /// The smallest number of the set, and whether the colours differ.
    fn find(&mut self, member: usize) -> (usize, bool) {
        let (mut first, mut differs) = (member, false);
        while self.parent[first] != first {
            differs ^= self.differs[first];
            first = self.parent[first];
        }
        // All on the way now point there.
        let (mut at, mut rest) = (member, differs);
        while at != first {
            let (next, step) = (self.parent[at], self.differs[at]);
            (self.parent[at], self.differs[at]) = (first, rest);
            rest ^= step;
            at = next;
        }
        (first, differs)
    }

    /// Joins two sets so that the colours of `a` and `b` differ, or not; false if that is no longer possible.
    fn join(&mut self, a: usize, b: usize, differ: bool) -> bool {
        let ((x, p), (y, q)) = (self.find(a), self.find(b));
        if x == y {
            return (p ^ q) == differ;
        }
        self.parent[x.max(y)] = x.min(y);
        self.differs[x.max(y)] = p ^ q ^ differ;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_know_colours() {
        let mut sets = Sets::default();
        for _ in 0..6 {
            sets.add();
        }
        // A path 5 - 3 - 1 - 0, and 2 beside 4.
        for (a, b) in [(5, 3), (1, 3), (0, 1)] {
            assert!(sets.join(a, b, true));
        }
        assert!(sets.join(4, 2, false));
        let found: Vec<(usize, bool)> = (0..6).map(|n| sets.find(n)).collect();
        assert_eq!(found, [(0, false), (0, true), (2, false), (0, false), (2, false), (0, true)]);
        assert!(sets.join(5, 0, true), "a cycle of four has two colours");
        assert!(!sets.join(5, 1, true), "one of three has not");
        assert!(!sets.join(2, 2, true), "nor a factor that meets itself");
    }
}
