//! From image references to commands.

use std::collections::BTreeMap;
use std::path::Path;

/// What the built-in images need to know of this installation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Programs<'a> {
    /// Folder of `bookinfo` and `micro-api`.
    pub(crate) folder: &'a Path,
    /// Program and arguments of the proxy.
    pub(crate) proxy: &'a [String],
}

/// The command of `image`: a user's entry for exactly this reference first, then the built-in ones by the last part of the
/// repository and the tag, whatever the registry.
pub(crate) fn command(
    image: &str,
    user: &BTreeMap<String, Vec<String>>,
    programs: Programs<'_>,
) -> Option<Vec<String>> {
    if let Some(argv) = user.get(image) {
        return Some(argv.clone());
    }
    let (repository, tag) = split(image);
    let name = repository.rsplit('/').next().unwrap_or(repository);
    if repository.ends_with("aviary/proxy") {
        return Some(programs.proxy.to_vec());
    }
    let program = |name: &str| programs.folder.join(name).display().to_string();
    let (_, _, argv) = BUILT_IN.iter().find(|(known, version, _)| {
        *known == name && version.is_none_or(|version| version == tag)
    })?;
    let words = argv.iter().skip(1).map(|word| word.replace("{tag}", tag));
    Some(
        argv.first()
            .map(|name| program(name))
            .into_iter()
            .chain(words)
            .collect(),
    )
}

/// The built-in images, whatever their registry: last part of the repository, the tag if only one is meant, the command.
const BUILT_IN: [(&str, Option<&str>, &[&str]); 9] = [
    (
        "examples-bookinfo-productpage-v1",
        None,
        &["bookinfo", "productpage", "--version", "v1"],
    ),
    (
        "examples-bookinfo-details-v1",
        None,
        &["bookinfo", "details", "--version", "v1"],
    ),
    (
        "examples-bookinfo-ratings-v1",
        None,
        &["bookinfo", "ratings", "--version", "v1"],
    ),
    (
        "examples-bookinfo-reviews-v1",
        None,
        &["bookinfo", "reviews", "--version", "v1"],
    ),
    (
        "examples-bookinfo-reviews-v2",
        None,
        &["bookinfo", "reviews", "--version", "v2"],
    ),
    (
        "examples-bookinfo-reviews-v3",
        None,
        &["bookinfo", "reviews", "--version", "v3"],
    ),
    (
        "asmproductpage",
        Some("v2"),
        &["bookinfo", "productpage", "--version", "v2"],
    ),
    (
        "asmratings",
        Some("v2"),
        &["bookinfo", "ratings", "--version", "v2"],
    ),
    ("micro-api", None, &["micro-api", "--image-tag", "{tag}"]),
];

/// The built-in images as people read them: reference pattern and command.
pub fn built_in_images() -> Vec<(String, String)> {
    let shown = |(name, tag, argv): &(&str, Option<&str>, &[&str])| {
        (format!("*/{name}:{}", tag.unwrap_or("*")), argv.join(" "))
    };
    let proxy = ("*/aviary/proxy:*".to_owned(), "aviary proxy".to_owned());
    BUILT_IN.iter().map(shown).chain([proxy]).collect()
}

/// What a container runs: its `command` and `args` as Kubernetes combines them with an image's own command.
pub(crate) fn argv(
    image: Vec<String>,
    command: &[String],
    args: &[String],
    proxy: bool,
) -> Vec<String> {
    if !command.is_empty() {
        return [command, args].concat();
    }
    // The proxy takes all of its configuration from the environment.
    if proxy {
        image
    } else {
        [image.as_slice(), args].concat()
    }
}

/// Repository and tag; the tag is `latest` if there is none, a digest is dropped.
fn split(image: &str) -> (&str, &str) {
    let image = image.split('@').next().unwrap_or(image);
    match image.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (image, "latest"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(image: &str) -> Option<String> {
        let user = BTreeMap::from([("mine:1".to_owned(), vec!["sleep".to_owned()])]);
        let proxy = ["/bin/aviary".to_owned(), "proxy".to_owned()];
        let programs = Programs {
            folder: Path::new("/bin"),
            proxy: &proxy,
        };
        command(image, &user, programs).map(|argv| argv.join(" "))
    }

    #[test]
    fn command_known_images_by_last_part_and_tag() {
        for (image, expected) in [
            (
                "docker.io/istio/examples-bookinfo-reviews-v3:1.20.1",
                "/bin/bookinfo reviews --version v3",
            ),
            (
                "examples-bookinfo-productpage-v1",
                "/bin/bookinfo productpage --version v1",
            ),
            (
                "registry.cn-hangzhou.aliyuncs.com/wudimanong/micro-api:1.0-SNAPSHOT",
                "/bin/micro-api --image-tag 1.0-SNAPSHOT",
            ),
            (
                "localhost:5000/asmratings:v2",
                "/bin/bookinfo ratings --version v2",
            ),
            ("aviary/proxy:0.1.0", "/bin/aviary proxy"),
            ("mine:1", "sleep"),
        ] {
            assert_eq!(check(image).as_deref(), Some(expected), "{image}");
        }
    }

    #[test]
    fn command_unknown_image_or_tag_is_none() {
        for image in [
            "nginx:1.27",
            "mine:2",
            "asmratings:v9",
            "examples-bookinfo-reviews-v9:1",
        ] {
            assert_eq!(check(image), None, "{image}");
        }
    }

    #[test]
    fn argv_command_replaces_and_args_follow() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let image = || words("prog --x");
        assert_eq!(
            argv(image(), &words("sh -c"), &words("a"), false),
            words("sh -c a")
        );
        assert_eq!(
            argv(image(), &[], &words("--y"), false),
            words("prog --x --y")
        );
        assert_eq!(argv(image(), &[], &words("proxy sidecar"), true), image());
    }
}
