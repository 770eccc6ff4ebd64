//! The program `pulvinar`; everything is in [`pulvinar_cli`].

fn main() -> std::process::ExitCode {
    pulvinar_cli::main()
}
