//! Sets of numbers that share their parts: growing a set by one number at a time, a thousand times, takes room for a thousand
//! numbers, not for half a million.
//!
//! A set is a binary tree over the bits of its numbers (Okasaki & Gill, Fast mergeable integer maps, 1998). Its form depends on the
//! numbers alone, and each node is kept once, so equal sets are the same node.

use super::hash::HashMap;

/// A set, by the number of its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Set(u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Node {
    One(u32),
    /// numbers that agree above `bit` with `prefix`: those without the bit, and those with it
    Two {
        prefix: u32,
        bit: u32,
        low: Set,
        high: Set,
    },
}

/// The nodes of all sets.
#[derive(Debug, Default)]
pub struct Sets {
    nodes: Vec<Node>,
    index: HashMap<Node, Set>,
}

impl Set {
    pub const EMPTY: Self = Self(u32::MAX);
}

impl Sets {
    pub fn single(&mut self, number: u32) -> Set {
        self.node(Node::One(number))
    }

    fn node(&mut self, node: Node) -> Set {
        let next = Set(u32::try_from(self.nodes.len()).expect("fewer than 2^32 nodes"));
        let set = *self.index.entry(node).or_insert(next);
        if set == next {
            self.nodes.push(node);
        }
        set
    }

    pub fn union(&mut self, a: Set, b: Set) -> Set {
        if a == b || b == Set::EMPTY {
            return a;
        }
        if a == Set::EMPTY {
            return b;
        }
        let (x, y) = (self.nodes[a.0 as usize], self.nodes[b.0 as usize]);
        match (x, y) {
            (
                Node::Two { prefix, bit, low, high },
                Node::Two { prefix: other, bit: same, low: l, high: h },
            ) if prefix == other && bit == same => {
                let (low, high) = (self.union(low, l), self.union(high, h));
                self.node(Node::Two { prefix, bit, low, high })
            }
            (Node::Two { prefix, bit, low, high }, _) if belongs(prefix, bit, first(y)) && bit > width(y) => {
                let (low, high) =
                    if first(y) & bit == 0 { (self.union(low, b), high) } else { (low, self.union(high, b)) };
                self.node(Node::Two { prefix, bit, low, high })
            }
            (_, Node::Two { prefix, bit, .. }) if belongs(prefix, bit, first(x)) && bit > width(x) => {
                self.union(b, a)
            }
            _ => {
                let bit = 1 << (31 - (first(x) ^ first(y)).leading_zeros());
                let (low, high) = if first(x) & bit == 0 { (a, b) } else { (b, a) };
                self.node(Node::Two { prefix: above(first(x), bit), bit, low, high })
            }
        }
    }

    /// Its numbers, ascending.
    pub fn list(&self, set: Set) -> Vec<u32> {
        let mut numbers = Vec::new();
        let mut open = vec![set];
        while let Some(set) = open.pop().filter(|s| *s != Set::EMPTY) {
            match self.nodes[set.0 as usize] {
                Node::One(number) => numbers.push(number),
                Node::Two { low, high, .. } => open.extend([high, low]),
            }
        }
        numbers
    }
}

/// A number that has the bits which all numbers of a node share.
fn first(node: Node) -> u32 {
    match node {
        Node::One(number) => number,
        Node::Two { prefix, .. } => prefix,
    }
}

/// The highest bit in which numbers of a node differ.
fn width(node: Node) -> u32 {
    match node {
        Node::One(_) => 0,
        Node::Two { bit, .. } => bit,
    }
}

/// The bits of a number above one of them.
fn above(number: u32, bit: u32) -> u32 {
    number & !(bit | (bit - 1))
}

fn belongs(prefix: u32, bit: u32, number: u32) -> bool {
    above(number, bit) == prefix
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn as_sets_of_the_library(a in any::<[u32; 8]>(), b in any::<[u8; 40]>(), c in any::<[u16; 20]>()) {
            let mut sets = Sets::default();
            let mut made = |numbers: &[u32]| {
                numbers.iter().fold(Set::EMPTY, |set, n| {
                    let one = sets.single(*n);
                    sets.union(set, one)
                })
            };
            let b: Vec<u32> = b.map(u32::from).to_vec();
            let c: Vec<u32> = c.map(u32::from).to_vec();
            let (x, y, z) = (made(&a), made(&b), made(&c));
            let both = sets.union(x, y);
            let left = sets.union(both, z);
            let right = { let yz = sets.union(z, y); sets.union(yz, x) };
            prop_assert_eq!(left, right);
            let want: BTreeSet<u32> = a.iter().chain(&b).chain(&c).copied().collect();
            prop_assert_eq!(sets.list(left), want.into_iter().collect::<Vec<_>>());
            prop_assert_eq!(sets.union(left, y), left);
        }
    }

    #[test]
    fn a_set_that_grows_takes_room_for_its_numbers() {
        let rooms = [1000u32, 2000, 4000].map(|n| {
            let mut sets = Sets::default();
            let all = (0..n).fold(Set::EMPTY, |set, k| {
                let one = sets.single(k);
                sets.union(set, one)
            });
            assert_eq!(sets.list(all).len(), n as usize);
            sets.nodes.len()
        });
        assert!(rooms[1] < 3 * rooms[0] && rooms[2] < 3 * rooms[1], "{rooms:?}");
    }
}
