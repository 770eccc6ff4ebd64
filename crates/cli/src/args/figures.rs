//! Flags of `figures`.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Image {
    /// lines and words that stay sharp at every size
    Svg,
    /// pixels, as many as `--dpi` says
    Png,
}

#[derive(Debug, Args)]
pub struct Figures {
    /// Figures or groups of figures; without them, all
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// List the figures instead
    #[arg(long)]
    pub list: bool,
    /// Folder for pictures and tables; other files in it stay
    #[arg(short, long, value_name = "DIR", default_value = "figures")]
    pub output: PathBuf,
    /// Folder of the circuit files
    #[arg(long, value_name = "DIR", default_value = "circuits")]
    pub circuits: PathBuf,
    #[arg(long, value_enum, default_value_t = Image::Svg)]
    pub image: Image,
    /// Dots per inch of PNG pictures
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(36..=1200))]
    pub dpi: u32,
    /// Write nothing; exit with 1 where the drawn figures are not those in the folder
    #[arg(long, conflicts_with_all = ["list", "full"])]
    pub check: bool,
    /// Many trials: hours for some figures
    #[arg(long)]
    pub full: bool,
    /// Worker threads (default: all cores; results do not depend on it)
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}
