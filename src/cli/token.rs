//! `postroom token`: what programs sign in with.

use super::answer::{Document, cell};
use super::exit::{Exit, Failure};
use super::moment::moment;
use super::output::{Output, table};
use super::session::Session;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

#[derive(Debug, Subcommand)]
pub enum Token {
    /// Make a token; it is shown this once
    Create(Create),
    /// List the tokens, without what they are
    List,
    /// Make a token useless, at once
    Revoke {
        #[arg(value_name = "ID")]
        id: u64,
    },
}

#[derive(Debug, Args)]
pub struct Create {
    /// For whom it speaks
    #[arg(long, value_name = "EMAIL")]
    user: String,
    /// When it ends: a span such as 90d, or a time; never, where nothing is named
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// What it is for
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

pub async fn run(token: &Token, session: &Session, output: Output) -> Result<(), Failure> {
    match token {
        Token::Create(create) => make(create, session, output).await,
        Token::List => {
            let tokens = session.list("tokens", &[("include", "user")], usize::MAX).await?;
            output.show(|| tokens.0.clone(), || tokens.ids(), || listed(&tokens))
        }
        Token::Revoke { id } => {
            session.call("DELETE", &format!("/api/v2/tokens/{id}"), None).await?;
            output.show(|| json!({"meta": {"deleted": id}}), String::new, || format!("Token {id} is revoked."))
        }
    }
}

async fn make(create: &Create, session: &Session, output: Output) -> Result<(), Failure> {
    let expires = create.expires.as_deref().map(|text| moment("--expires", text)).transpose()?;
    let Some(user) = session.by_email("users", &create.user).await? else {
        let text =
            format!("There is no user {}. The first one is made with: postroom setup --email EMAIL", create.user);
        return Err(Failure::new(Exit::NotFound, text));
    };
    let body = json!({"data": {
        "type": "token",
        "attributes": {"name": create.name, "expiresAt": expires},
        "relationships": {"user": {"data": {"type": "user", "id": user["id"]}}},
    }});
    let made = session.call("POST", "/api/v2/tokens", Some(&body)).await?;
    let token = || cell(&made.0["meta"]["token"]);
    output.show(|| made.0.clone(), token, token)?;
    if !output.json {
        output.note("It is not shown again. Use it as: Authorization: Bearer TOKEN");
    }
    Ok(())
}

fn listed(tokens: &Document) -> String {
    let users = tokens.0["included"].as_array().map(Vec::as_slice).unwrap_or_default();
    let email = |id: &Value| {
        users.iter().find(|user| user["id"] == *id).map_or_else(|| cell(id), |user| cell(&user["attributes"]["email"]))
    };
    let rows: Vec<Vec<String>> = tokens
        .records()
        .map(|token| {
            let user = email(token.related("user"));
            vec![token.id(), user, token.text("createdAt"), token.text("expiresAt"), token.text("name")]
        })
        .collect();
    table(&["ID", "USER", "CREATED", "EXPIRES", "NAME"], &rows)
}
