//! An HTTP server whose requests are answered by an agent with memory. Each request has an instance and a store of its
//! own; each tenant has a scope of its own, and no request can reach another's.
//!
//! `cargo run --release --example edge LEDGER AGENT.wasm 127.0.0.1:8080`, then
//! `curl -d 'How do they want their invoices?' http://127.0.0.1:8080/acme-inc`
//!
//! Whoever may speak for a tenant is for the server in front of this one to know: here the path says it. Interrupted or
//! terminated, it begins no more runs, waits ten seconds for those that go on, and closes the ledger.

use std::{error::Error, future::IntoFuture, io::Write, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, State},
    http::StatusCode,
    routing::post,
};
use quipu_host::{Actor, Agent, ErrorKind, Grant, Ledger, Limits, OpenOptions, Outcome, Runtime, Scope};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

/// What all requests share.
struct Edge {
    runtime: Runtime,
    agent: Agent,
    actor: Actor,
}

/// How long runs that go on may take to end when the server stops.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long their answers may then take.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let [_, ledger, agent, address] = &std::env::args().collect::<Vec<_>>()[..] else {
        return Err("usage: edge LEDGER AGENT.wasm ADDRESS:PORT".into());
    };
    let ledger = Ledger::open(ledger.as_ref(), OpenOptions::default())?;
    let runtime = Runtime::new(ledger.clone(), Limits::default())?;
    let agent = runtime.load(&std::fs::read(agent)?)?;
    let edge = Arc::new(Edge {
        runtime,
        agent,
        actor: Actor::new("agent:edge")?,
    });

    let listener = TcpListener::bind(address).await?;
    // With port 0 the system has chosen one.
    println!("listening on {}", listener.local_addr()?);
    std::io::stdout().flush()?;
    let app = Router::new()
        .route("/{tenant}", post(ask))
        .layer(DefaultBodyLimit::max(edge.runtime.limits().input_bytes))
        .with_state(edge.clone());
    let (stop, stopping) = oneshot::channel();
    let server = axum::serve(listener, app).with_graceful_shutdown(async { _ = stopping.await });
    let server = tokio::spawn(server.into_future());

    stopped().await;
    _ = stop.send(());
    let ended = edge.runtime.shutdown(PATIENCE).await;
    if ended > 0 {
        eprintln!("{ended} runs had not ended after {PATIENCE:?}, and were ended");
    }
    // Answers are on their way; nobody waits for a client that does not go on with its request.
    _ = tokio::time::timeout(LAST_ANSWERS, server).await;
    Ok(ledger.close()?)
}

/// One request, one run.
async fn ask(State(edge): State<Arc<Edge>>, Path(tenant): Path<String>, message: String) -> (StatusCode, Json<Value>) {
    let Ok(home) = Scope::new(&format!("tenant:{tenant}")) else {
        return told(StatusCode::BAD_REQUEST, "this is no name of a tenant");
    };
    let grant = Grant::new(edge.actor.clone(), home);
    match edge.runtime.run(&edge.agent, &grant, &message).await {
        Ok(report) => {
            let appended: Vec<_> = report.appended.iter().map(|receipt| receipt.id).collect();
            match report.outcome {
                Outcome::Ok(answer) => (
                    StatusCode::OK,
                    Json(json!({ "answer": answer, "run": report.run, "appended": appended })),
                ),
                Outcome::TimedOut => told(StatusCode::GATEWAY_TIMEOUT, "the agent took too long"),
                _ => told(StatusCode::BAD_GATEWAY, "the agent failed"),
            }
        }
        Err(error) => match error.kind() {
            ErrorKind::Busy => told(StatusCode::TOO_MANY_REQUESTS, "too many requests wait"),
            ErrorKind::Closed => told(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping"),
            ErrorKind::Input => told(StatusCode::BAD_REQUEST, "the message is refused"),
            // What went wrong is the operator's to know; it may name files.
            _ => {
                eprintln!("{error}");
                told(StatusCode::INTERNAL_SERVER_ERROR, "the run could not begin")
            }
        },
    }
}

fn told(status: StatusCode, message: &str) -> (StatusCode, Json<Value>) {
    (status, Json(json!({ "error": message })))
}

async fn stopped() {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signals) => _ = signals.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => (),
        () = terminated => (),
    }
}
