//! The compiler's hash maps. Their keys are short tuples of numbers, for which the standard library's hash costs more than
//! the work between two look-ups. Nothing iterates over one, so no result depends on the order.

pub type HashMap<K, V> = std::collections::HashMap<K, V, foldhash::fast::RandomState>;
