//! The program `pulvinar`; everything is in [`pulvinar::cli`].

fn main() -> std::process::ExitCode {
    pulvinar::cli::main()
}
