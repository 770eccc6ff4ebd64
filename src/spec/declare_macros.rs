//! The macros of [`super::declare`]: from one declaration come the type, its decoder, its printed form and its schema.

/// A map, key by key.
macro_rules! form {
    ($(#[doc = $about:literal])*
     pub struct $Name:ident $(: $($derive:ident),+)? = $expected:literal {
        $($(#[doc = $doc:literal])* $key:ident: $ty:ty, $kind:expr, $mode:tt;)*
     } $(then $check:expr)?) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug, PartialEq $(, $($derive),+)?)]
        pub struct $Name {
            $($(#[doc = $doc])* pub $key: $crate::spec::declare::form!(@type $mode $ty),)*
        }

        impl $crate::spec::declare::Part for $Name {
            fn keys_of(d: &mut $crate::spec::fields::Decoder, f: &mut $crate::spec::fields::Fields<'_>) -> Option<Self> {
                $(let $key = $crate::spec::declare::form!(@read $mode d, f, stringify!($key), $kind, $ty);)*
                let form = Self { $($key: $crate::spec::declare::form!(@take $mode $key)),* };
                $({
                    let check: $crate::spec::declare::Check<Self> = $check;
                    check(&form, d, &f.path, f.span)?;
                })?
                Some(form)
            }

            fn describe(keys: &mut $crate::spec::declare::Keys) {
                $($crate::spec::declare::form!(@describe $mode keys, stringify!($key), $kind, $ty, concat!($($doc),*));)*
            }

            fn write<M: serde::ser::SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
                $($crate::spec::declare::form!(@write $mode map, &self.$key, stringify!($key));)*
                Ok(())
            }
        }

        impl $crate::spec::declare::Form for $Name {
            fn read(d: &mut $crate::spec::fields::Decoder, at: $crate::spec::fields::At<'_>) -> Option<Self> {
                let mut f = d.map(at, $expected)?;
                let form = <Self as $crate::spec::declare::Part>::keys_of(d, &mut f);
                f.finish(d);
                form
            }

            fn schema() -> serde_json::Value {
                let mut keys = $crate::spec::declare::Keys::default();
                <Self as $crate::spec::declare::Part>::describe(&mut keys);
                keys.object(concat!($($about),*))
            }
        }

        impl serde::Serialize for $Name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap;
                let mut map = serializer.serialize_map(None)?;
                $crate::spec::declare::Part::write(self, &mut map)?;
                map.end()
            }
        }
    };
    (@type ? $ty:ty) => { Option<$ty> };
    (@type $mode:tt $ty:ty) => { $ty };
    (@read ! $d:ident, $f:ident, $key:expr, $kind:expr, $ty:ty) => {
        $f.required($d, $key, |d, at| $crate::spec::declare::Kind::<$ty>::read(&$kind, d, at))
    };
    (@read ? $d:ident, $f:ident, $key:expr, $kind:expr, $ty:ty) => {
        $f.optional($d, $key, |d, at| $crate::spec::declare::Kind::<$ty>::read(&$kind, d, at))
    };
    (@read * $d:ident, $f:ident, $key:expr, $kind:expr, $ty:ty) => {
        <$ty as $crate::spec::declare::Part>::keys_of($d, $f)
    };
    (@read ($default:expr) $d:ident, $f:ident, $key:expr, $kind:expr, $ty:ty) => {
        $f.optional($d, $key, |d, at| $crate::spec::declare::Kind::<$ty>::read(&$kind, d, at)).unwrap_or_else(|| $default)
    };
    (@read [$default:expr] $d:ident, $f:ident, $key:expr, $kind:expr, $ty:ty) => {
        $f.optional($d, $key, |d, at| $crate::spec::declare::Kind::<$ty>::read(&$kind, d, at)).unwrap_or_else(|| $default)
    };
    (@take ! $key:ident) => { $key? };
    (@take * $key:ident) => { $key? };
    (@take $mode:tt $key:ident) => { $key };
    (@describe * $keys:ident, $key:expr, $kind:expr, $ty:ty, $doc:expr) => {
        <$ty as $crate::spec::declare::Part>::describe($keys)
    };
    (@describe ($default:expr) $keys:ident, $key:expr, $kind:expr, $ty:ty, $doc:expr) => {{
        let default: $ty = $default;
        let default = serde_json::to_value(&default).ok();
        $keys.add($key, $crate::spec::declare::Kind::<$ty>::schema(&$kind), $doc, false, default)
    }};
    (@describe $mode:tt $keys:ident, $key:expr, $kind:expr, $ty:ty, $doc:expr) => {
        $keys.add($key, $crate::spec::declare::Kind::<$ty>::schema(&$kind), $doc, stringify!($mode) == "!", None)
    };
    (@write ? $map:ident, $value:expr, $key:expr) => {
        if let Some(value) = $value {
            $map.serialize_entry($key, value)?;
        }
    };
    (@write [$default:expr] $map:ident, $value:expr, $key:expr) => {
        if *$value != $default {
            $map.serialize_entry($key, $value)?;
        }
    };
    (@write * $map:ident, $value:expr, $key:expr) => { $crate::spec::declare::Part::write($value, $map)? };
    (@write $mode:tt $map:ident, $value:expr, $key:expr) => { $map.serialize_entry($key, $value)? };
}
pub(super) use form;

/// Words, one for each variant.
macro_rules! words {
    ($(#[doc = $about:literal])*
     pub enum $Name:ident $(: $($derive:ident),+)? {
        $($(#[doc = $doc:literal])* $Variant:ident = $word:literal;)+
     }) => {
        $(#[doc = $about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq $(, $($derive),+)?)]
        pub enum $Name { $($(#[doc = $doc])* $Variant),+ }

        impl $Name {
            /// The words of the file.
            pub const NAMES: [(&'static str, Self); [$($word),+].len()] = [$(($word, Self::$Variant)),+];

            /// The word that the file uses.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$Variant => $word),+ }
            }
        }

        impl $crate::spec::declare::Form for $Name {
            fn read(d: &mut $crate::spec::fields::Decoder, at: $crate::spec::fields::At<'_>) -> Option<Self> {
                d.word(at, &Self::NAMES)
            }

            fn schema() -> serde_json::Value {
                let docs: Vec<String> = [$(($word, concat!($($doc),*))),+]
                    .iter()
                    .filter(|(_, doc)| !doc.is_empty())
                    .map(|(word, doc)| format!("{word}:{doc}"))
                    .collect();
                $crate::spec::schema::word(&[$($word),+], &docs.join("; "))
            }
        }

        impl serde::Serialize for $Name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }
    };
}
pub(super) use words;

/// A map with exactly one key: `Variant = "key": "what its map holds" { keys }` or `Variant = "key" (Type, KIND)`. A key that may
/// be left out ends in `? unless "Option::is_none"`. Before them, words that stand for a value, and variants that are words only.
macro_rules! choice {
    ($(#[doc = $about:literal])*
     pub enum $Name:ident $(: $($derive:ident),+)? = $what:literal, $expected:literal {
        $(@words { $($uword:literal => $uvalue:expr),+ $(,)? } @units { $($Unit:ident = $uname:literal),* })?
        $($(#[doc = $vdoc:literal])* $Variant:ident = $word:literal
            $(: $vexpected:literal { $($(#[doc = $doc:literal])* $key:ident: $kty:ty, $kkind:expr, $mode:tt $(unless $skip:literal)? $(=> $flat:ident)?;)* })?
            $(($ty:ty, $kind:expr))?;)+
     }) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize $(, $($derive),+)?)]
        pub enum $Name {
            $($(#[serde(rename = $uname)] $Unit,)*)?
            $($(#[doc = $vdoc])* #[serde(rename = $word)] $Variant
                $({ $($(#[doc = $doc])* $(#[serde(skip_serializing_if = $skip)])? $(#[serde($flat)])? $key: $crate::spec::declare::form!(@type $mode $kty)),* })?
                $(($ty))?,)+
        }

        impl $Name {
            /// The keys, one of which stands in the file.
            pub const KEYS: [&'static str; [$($word),+].len()] = [$($word),+];
        }

        impl $crate::spec::declare::Form for $Name {
            fn read(d: &mut $crate::spec::fields::Decoder, at: $crate::spec::fields::At<'_>) -> Option<Self> {
                $(if matches!(at.node.value, $crate::spec::node::Value::Str(_)) {
                    return d.word(at, &[$(($uword, $uvalue)),+]);
                })?
                let (word, path, node) = d.form(at, $what, $expected, &Self::KEYS)?;
                let at = $crate::spec::fields::At { node, path: &path };
                $(if word == $word {
                    $(
                        let mut fields = d.map(at, $vexpected)?;
                        #[allow(unused_variables)]
                        let f = &mut fields;
                        $(let $key = $crate::spec::declare::form!(@read $mode d, f, stringify!($key), $kkind, $kty);)*
                        fields.finish(d);
                        return Some(Self::$Variant { $($key: $crate::spec::declare::form!(@take $mode $key)),* });
                    )?
                    $(return $crate::spec::declare::Kind::<$ty>::read(&$kind, d, at).map(Self::$Variant);)?
                })+
                None
            }

            fn schema() -> serde_json::Value {
                let forms = [$({
                    let about = concat!($($vdoc),*);
                    $(
                        let mut all = $crate::spec::declare::Keys::default();
                        #[allow(unused_variables)]
                        let keys = &mut all;
                        $($crate::spec::declare::form!(@describe $mode keys, stringify!($key), $kkind, $kty, concat!($($doc),*));)*
                        let schema = all.object(about);
                    )?
                    $(let schema = $crate::spec::declare::said($crate::spec::declare::Kind::<$ty>::schema(&$kind), about);)?
                    ($word, schema)
                }),+];
                let one = $crate::spec::schema::one_of(&forms);
                $(let one = serde_json::json!({"anyOf": [$crate::spec::schema::word(&[$($uword),+], ""), one]});)?
                $crate::spec::declare::said(one, concat!($($about),*))
            }
        }
    };
}
pub(super) use choice;
