//! Pictures of circuits, and of tables that others computed.
//!
//! - [`circuit`]: a circuit, its cells in their layers and its axons.
//! - [`cells`]: traces of a run of cells, and how its output comes to the compiled heads.
//! - [`sheet`]: what a figure is before it is drawn; [`catalogue`]: all figures.
//! - [`plot`]: draws a figure; [`table`]: the numbers behind it; [`page`]: the page beside them;
//!   [`compare`]: is it still the same?
//! - [`canvas`]: lines and words of a picture, as SVG or PNG, in the [`font`] that all share.
//! - `style`: sizes and colours that all pictures share.
//!
//! SVG with real text. **Deliberately absent:** computing what is drawn, and files.

mod axis;
pub mod canvas;
pub mod catalogue;
pub mod cells;
pub mod circuit;
pub mod compare;
pub mod font;
pub mod page;
pub mod plot;
pub mod sheet;
mod style;
pub mod table;
