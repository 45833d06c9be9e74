//! `postroom setup`: the first administrator.

use super::exit::Failure;
use super::output::Output;
use super::session::Session;
use clap::Args;
use serde_json::json;

#[derive(Debug, Args)]
pub struct Setup {
    /// The administrator's address
    #[arg(long, value_name = "EMAIL")]
    email: String,
    #[arg(long, value_name = "NAME")]
    first_name: Option<String>,
    #[arg(long, value_name = "NAME")]
    last_name: Option<String>,
}

pub async fn run(setup: &Setup, session: &Session, output: Output) -> Result<(), Failure> {
    let mut attributes = json!({"email": setup.email});
    for (name, value) in [("firstName", &setup.first_name), ("lastName", &setup.last_name)] {
        if let Some(value) = value {
            attributes[name] = value.as_str().into();
        }
    }
    let body = json!({"data": {"type": "user", "attributes": attributes}});
    let created = session.call("POST", "/api/v2/users", Some(&body)).await?;
    let email = created.record().text("email");
    output.show(
        || created.0.clone(),
        || created.record().id(),
        || format!("{email} is the administrator. Next, make a token: postroom token create --user {email}"),
    )
}
