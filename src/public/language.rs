//! The languages of the public pages, and which of them a browser asks for.

use actix_web::HttpRequest;
use actix_web::http::header;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    English,
    German,
    French,
    Spanish,
}

/// Everything that the pages say.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Words {
    pub tag: &'static str,
    pub unsubscribe: &'static str,
    pub message: &'static str,
    pub button: &'static str,
    pub done: &'static str,
    pub done_text: &'static str,
    pub already: &'static str,
    pub already_text: &'static str,
    pub missing: &'static str,
    pub missing_text: &'static str,
    pub trouble: &'static str,
    pub trouble_text: &'static str,
}

impl Language {
    const ALL: [Self; 4] = [Self::English, Self::German, Self::French, Self::Spanish];

    /// The best of the languages that a request accepts (RFC 9110 §12.5.4); English where it accepts none of ours.
    pub fn of(request: &HttpRequest) -> Self {
        let accepted = request.headers().get_all(header::ACCEPT_LANGUAGE).filter_map(|value| value.to_str().ok());
        Self::among(accepted.flat_map(|value| value.split(',')).take(50))
    }

    fn among<'a>(ranges: impl Iterator<Item = &'a str>) -> Self {
        let mut best: Option<(f32, Self)> = None;
        for range in ranges {
            let mut parts = range.split(';').map(str::trim);
            let tag = parts.next().unwrap_or_default();
            let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(Ok(1.0), str::parse::<f32>);
            let Ok(weight) = weight else { continue };
            let primary = tag.split('-').next().unwrap_or_default();
            let language = Self::ALL.into_iter().find(|language| language.words().tag.eq_ignore_ascii_case(primary));
            let Some(language) = language else { continue };
            // The first of several that are wanted alike.
            if weight > 0.0 && weight <= 1.0 && best.is_none_or(|(other, _)| weight > other) {
                best = Some((weight, language));
            }
        }
        best.map_or(Self::English, |(_, language)| language)
    }

    pub fn words(self) -> &'static Words {
        match self {
            Self::English => &ENGLISH,
            Self::German => &GERMAN,
            Self::French => &FRENCH,
            Self::Spanish => &SPANISH,
        }
    }
}

static ENGLISH: Words = Words {
    tag: "en",
    unsubscribe: "Unsubscribe",
    message: "To unsubscribe, click the button below. Thanks!",
    button: "Unsubscribe",
    done: "You are unsubscribed",
    done_text: "You will receive no more of these emails. You can close this page.",
    already: "You are already unsubscribed",
    already_text: "There is nothing left to do. You can close this page.",
    missing: "This link does not work",
    missing_text: "It may be incomplete. Please open it again from the email, or copy the whole link.",
    trouble: "That did not work",
    trouble_text: "Please try again in a few minutes.",
};

static GERMAN: Words = Words {
    tag: "de",
    unsubscribe: "Abmelden",
    message: "Mit einem Klick auf die Schaltfläche melden Sie sich ab. Vielen Dank!",
    button: "Abmelden",
    done: "Sie sind abgemeldet",
    done_text: "Sie erhalten keine weiteren E-Mails dieser Art. Sie können diese Seite schließen.",
    already: "Sie sind bereits abgemeldet",
    already_text: "Es ist nichts weiter zu tun. Sie können diese Seite schließen.",
    missing: "Dieser Link funktioniert nicht",
    missing_text: "Vielleicht ist er unvollständig. Bitte öffnen Sie ihn noch einmal aus der E-Mail, oder kopieren Sie den ganzen Link.",
    trouble: "Das hat nicht geklappt",
    trouble_text: "Bitte versuchen Sie es in einigen Minuten noch einmal.",
};

static FRENCH: Words = Words {
    tag: "fr",
    unsubscribe: "Se désabonner",
    message: "Pour vous désabonner, cliquez sur le bouton ci-dessous. Merci !",
    button: "Se désabonner",
    done: "Vous êtes désabonné",
    done_text: "Vous ne recevrez plus ces e-mails. Vous pouvez fermer cette page.",
    already: "Vous êtes déjà désabonné",
    already_text: "Il n’y a plus rien à faire. Vous pouvez fermer cette page.",
    missing: "Ce lien ne fonctionne pas",
    missing_text: "Il est peut-être incomplet. Ouvrez-le de nouveau depuis l’e-mail, ou copiez le lien entier.",
    trouble: "Cela n’a pas fonctionné",
    trouble_text: "Veuillez réessayer dans quelques minutes.",
};

static SPANISH: Words = Words {
    tag: "es",
    unsubscribe: "Darse de baja",
    message: "Para darse de baja, haga clic en el botón. ¡Gracias!",
    button: "Darse de baja",
    done: "Se ha dado de baja",
    done_text: "No recibirá más correos de este tipo. Puede cerrar esta página.",
    already: "Ya se había dado de baja",
    already_text: "No hay nada más que hacer. Puede cerrar esta página.",
    missing: "Este enlace no funciona",
    missing_text: "Puede que esté incompleto. Ábralo de nuevo desde el correo o copie el enlace entero.",
    trouble: "No ha funcionado",
    trouble_text: "Inténtelo de nuevo dentro de unos minutos.",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_of_the_accepted_languages_is_spoken() {
        for (accepted, expected) in [
            ("", Language::English),
            ("de", Language::German),
            ("DE-AT,en;q=0.5", Language::German),
            ("nl, fr;q=0.4, es;q=0.6", Language::Spanish),
            ("en;q=0, fr;q=0.1", Language::French),
            ("fr, de", Language::French),
            ("de;q=2, fr;q=x, es;q=-1", Language::English),
            ("zh-CN, *", Language::English),
            ("den, esx", Language::English),
        ] {
            assert_eq!(Language::among(accepted.split(',')), expected, "{accepted}");
        }
    }
}
