//! The control plane.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use weir::{operator, telemetry};

/// Every pod gets a local pooler; the whole fleet gets one connection budget.
#[derive(Parser)]
#[command(name = "weir", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the control plane: webhook, prober and status
    Operator(Box<operator::Options>),
    /// Print the CustomResourceDefinition
    Crd,
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Crd => {
            print!("{}", weir::crd::yaml());
            Ok(())
        }
        Command::Operator(options) => {
            telemetry::start();
            operator::run(*options).await
        }
    };
    result.map_or_else(
        |error| {
            eprintln!("weir: {}", telemetry::chain(&error));
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}
