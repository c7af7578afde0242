#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/config_schema.h"
#include "tests/support/memory_loader.h"

#define NOW INT64_C(1795219200) /* 2026-11-21 */

static const char smallest[] = "upstreams: {ghcr.io: {url: https://ghcr.io}}\n"
                               "signers:   {release: {keys: [{file: cosign.pub}]}}\n"
                               "policies:  [{name: ours, images: [\"ghcr.io/acme/**\"], require: "
                               "[{signature: release}]}]\n";

static struct config *load(const char *text, const char *exceptions,
                           struct config_problems *problems)
{
    struct memory_file files[] = {
        {"/etc/gatehouse/g.yaml", text, 0},
        {"/etc/gatehouse/cosign.pub", MEMORY_KEY_A, 0},
        {"/etc/gatehouse/b.pub", MEMORY_KEY_B, 0},
        {"/etc/gatehouse/c.pub", MEMORY_KEY_C, 0},
        {"/etc/gatehouse/p256.pub",
         "-----BEGIN PUBLIC KEY-----\n"
         "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEzIuqtoSurOqgRr8z4YJB1LhUPtKH\n"
         "LE1UPFTc08BdnxVbVUnRExP+L0gpCzgmZfmTfnXiYR2Vi9SDZwPJoHgzMw==\n"
         "-----END PUBLIC KEY-----\n",
         0},
        {"/etc/gatehouse/root.json",
         "{\"mediaType\":\"application/vnd.dev.sigstore.trustedroot+json;version=0.1\"}", 0},
        {"/etc/gatehouse/secret", "s3cret\n", 0600},
        {"/etc/gatehouse/open", "s3cret\n", 0644},
        {"/etc/gatehouse/tls.crt", "x", 0},
        {"/etc/gatehouse/x.yaml", exceptions == NULL ? "" : exceptions, 0},
    };
    struct memory_loader loader = {.files = files, .count = GH_COUNT(files)};

    return memory_load(&loader, NOW, problems);
}

static void config_smallest_file_loads(void **state)
{
    struct config_problems problems;
    struct config *config = load(smallest, NULL, &problems);
    const struct snapshot *snapshot;

    (void)state;
    memory_print(&problems);
    assert_non_null(config);
    assert_int_equal(problems.count, 0);
    snapshot = &config->tenants[0].snapshot;
    assert_int_equal(snapshot->policy_count, 1);
    assert_int_equal(snapshot->leaf_count, 1);
    assert_string_equal(snapshot->leaves[0]->label, "signature:release");
    assert_string_equal(config->listen.items[0].address, "127.0.0.1:5000");
    assert_string_equal(config->admin.address, "127.0.0.1:5001");
    assert_int_equal(config->limits.manifest_bytes, 4 << 20);
    assert_int_equal(config->cache.tag_stale_s, 86400);
    assert_string_equal(config->audit.path, "/var/lib/gatehouse/audit.jsonl");
    assert_non_null(config_tenant_upstream(&config->tenants[0], "ghcr.io"));
    assert_null(config_tenant_upstream(&config->tenants[0], "quay.io"));
    config_unref(config);
    config_problems_done(&problems);
}

static void config_listen_list_takes_the_place_of_the_default(void **state)
{
    struct config_problems problems;
    char text[1024];
    struct config *config;

    (void)state;
    (void)snprintf(text, sizeof(text), "%slisten: [{address: 127.0.0.1:7001}, \"[::1]:7002\"]\n",
                   smallest);
    config = load(text, NULL, &problems);
    memory_print(&problems);
    assert_non_null(config);
    assert_int_equal(config->listen.count, 2);
    assert_string_equal(config->listen.items[0].address, "127.0.0.1:7001");
    assert_string_equal(config->listen.items[1].address, "[::1]:7002");
    config_unref(config);
    config_problems_done(&problems);
}

/* Every row is the smallest file with something wrong; line and column of the first error. */
struct fault {
    const char *text;
    unsigned line, column;
    const char *part; /* of the message */
};

#define UP "upstreams: {ghcr.io: {url: https://ghcr.io}}\n"
#define SIGNERS "signers: {release: {keys: [{file: cosign.pub}]}, b: {keys: [{file: b.pub}]}}\n"
#define POLICY(rest) UP SIGNERS "policies:\n- {name: p, images: [\"ghcr.io/a/**\"], " rest "}\n"
#define USED "require: [{any: [{signature: release}, {signature: b}]}]"
#define USES POLICY(USED)

#define KEYED "signers: {a: {keys: [{file: cosign.pub}], "

#define ROOTED "roots: {r: {trusted_root: root.json}}\n"

static const struct fault faults[] = {
    {"", 0, 0, "empty"},
    {"a: [", 2, 1, "not valid YAML"},
    {"- a\n", 1, 1, "expected a mapping"},
    {UP UP, 2, 1, "given twice"},
    {USES "polices: []\n", 5, 1, "did you mean \"policies\""},
    {"upstream: {}\n" USES, 1, 1, "did you mean \"upstreams\""},
    {USES "workers: many\n", 5, 10, "expected a whole number"},
    {USES "workers: 0\n", 5, 10, "between 1 and 1024"},
    {USES "limits: {manifest: 5MB}\n", 5, 20, "a size such as"},
    {USES "limits: {idle_timeout: 1y}\n", 5, 24, "a duration such as"},
    {USES "offline: no\n", 5, 10, "true or false"},
    {USES "offline: \"true\"\n", 5, 10, "true or false"},
    {USES "listen: 5000\n", 5, 9, "address and port"},
    {USES "listen: []\n", 5, 9, "an empty list"},
    {USES "admin: {address: 0.0.0.0:5001}\n", 5, 18, "not on loopback"},
    {USES "admin: {token_file: open}\n", 5, 21, "everybody on the machine can read"},
    {USES "webhook: {address: 0.0.0.0:5443, tls: {certificate: tls.crt, key: secret}}\n", 5, 1,
     "not supported yet"},
    {USES "clients: {passthrough: true, htpasswd: secret}\n", 5, 24, "could not tell whose"},
    {USES "clients: {token: {}}\n", 5, 18, "token without htpasswd or mtls"},
    {USES "clients: {htpasswd: secret, token: {key: secret}}\n", 5, 42, "at least 32"},
    {USES "clients: {htpasswd: secret, token: {ttl: 1s}}\n", 5, 42, "a duration such as"},
    {USES "clients: {mtls: true}\n", 5, 17, "client_ca"},
    {USES "writers: {push: [ci]}\n", 5, 11, "not supported yet"},
    {USES "default_upstream: ghcr.oi\n", 5, 19, "did you mean \"ghcr.io\""},
    {USES "exceptions_max: 401d\n", 5, 17, "a duration such as"},
    {USES "exceptions: none.yaml\n", 5, 13, "no such file"},
    {USES "fetch: {rewrite: {\"ldap://x\": \"file:///a\"}}\n", 5, 19, "expected an http(s)"},
    {USES "audit: {on_failure: allow}\n", 5, 21, "expected deny"},
    {"upstreams: {ghcr.io: {url: ghcr.io}}\n" SIGNERS, 1, 28, "an http(s): address"},
    {"upstreams: {ghcr.io: {url: https://u:p@ghcr.io}}\n" SIGNERS, 1, 28, "without user"},
    {"upstreams: {GHCR: {url: https://ghcr.io}}\n", 1, 13, "a registry's name"},
    {"upstreams: {hub: {url: https://ghcr.io}}\n", 1, 13, "neither a dot nor a port"},
    {"upstreams: {ghcr.io: {url: https://ghcr.io, credentials: {username: bot}}}\n", 1, 58,
     "expected one of password_file, password"},
    {"upstreams: {ghcr.io: {url: https://ghcr.io, credentials: {username: bot, password: "
     "hunter2}}}\n",
     1, 84, "secrets do not stand in the configuration"},
    {"upstreams: {ghcr.io: {url: https://ghcr.io, credentials: {username: bot, password: "
     "\"${NONE}\"}}}\n",
     1, 84, "is not set"},
    {"signers: {}\n", 1, 1, "\"upstreams\" is missing"},
    {POLICY("require: []"), 4, 48, "an empty list"},
    {POLICY("mode: deny"), 4, 3, "\"require\" is missing"},
    {POLICY("require: [{signature: relese}]"), 4, 61, "did you mean \"release\""},
    {POLICY("require: [{signature: release, signer: b}]"), 4, 70, "belongs to \"attestation\""},
    {POLICY("require: [{signature: release, any: [{signature: b}]}]"), 4, 70,
     "\"any\" beside \"signature\""},
    {POLICY("require: [{any: []}]"), 4, 55, "an empty list"},
    {POLICY("require: [{at_least: 0, of: [{signature: release}]}]"), 4, 60, "between 1 and"},
    {POLICY("require: [{at_least: 2, of: [{signature: release}]}]"), 4, 60, "expected at most 1"},
    {POLICY("require: [{at_least: 2}]"), 4, 49, "\"of\" is missing"},
    {POLICY("require: [{signature: release, metadata: {a: b}}]"), 4, 70, "notation's"},
    {POLICY("mode: block, " USED), 4, 45, "one of deny, warn, audit"},
    {POLICY("rollout: [{mode: warn, until: 2026-12-01}], " USED), 4, 49, "last stage must be deny"},
    {POLICY("rollout: [{mode: deny, until: 2026-12-01}, {mode: warn, until: 2027-01-01}, {mode: "
            "deny}], " USED),
     4, 82, "only tighten"},
    {POLICY("rollout: [{mode: warn}, {mode: deny}], " USED), 4, 49, "\"until\" is missing"},
    {POLICY("rollout: [{mode: warn, until: 2026-13-01}, {mode: deny}], " USED), 4, 69, "a date"},
    {POLICY("deny_tags: [\"a/b\"], " USED), 4, 51, "expected a tag"},
    {POLICY("on_push: {mode: deny}, " USED), 4, 39, "not supported yet"},
    {POLICY("except: [\"*\"], " USED), 4, 48, "for everything write"},
    {POLICY("except: [\"ghcr.io/a:v1\"], " USED), 4, 48, "tags are not patterns"},
    {POLICY("except: [\"ghcr.io/A\"], " USED), 4, 48, "lower-case"},
    {POLICY("except: [\"ghcr.io/a**\"], " USED), 4, 48, "stands alone"},
    {POLICY("except: [\"ghcr.io/a@sha256:12\"], " USED), 4, 48, "digest"},
    {USES "- {name: p, images: [\"ghcr.io/b\"], require: [{signature: b}]}\n", 5, 1,
     "two policies are named \"p\""},
    {UP "signers: {a: {keys: []}}\n", 2, 21, "an empty list"},
    {UP "signers: {a: {}}\n", 2, 14, "expected one of keys"},
    {UP "signers: {a: {keys: [{file: none.pub}]}}\n", 2, 29, "no such file"},
    {UP "signers: {a: {keys: [{file: g.yaml}]}}\n", 2, 29, "expected a PEM public key"},
    {UP "signers: {a: {keys: [{kms: \"awskms:///x\"}]}}\n", 2, 23, "not supported yet"},
    {UP "signers: {a: {keys: [{file: cosign.pub}, {file: cosign.pub}]}}\n", 2, 42,
     "the same key twice"},
    {UP "signers: {a: {keys: [{file: cosign.pub}], tlog: required}}\n", 2, 49, "name the root"},
    {UP "signers: {a: {keys: [{file: cosign.pub}], root: none}}\n", 2, 49, "the name of a root"},
    {UP "signers: {a: {keys: [{file: cosign.pub, not_before: 2027-01-01, not_after: "
        "2026-01-01}]}}\n",
     2, 76, "before its not_before"},
    {UP "signers: {a: {openpgp: {keyring: k.asc}}}\n", 2, 15, "not supported yet"},
    {UP KEYED "tlog_threshold: 2}}\n", 2, 59, "expected tlog: required beside it"},
    {UP KEYED "timestamp_threshold: 2}}\n", 2, 64, "expected timestamp: required beside it"},
    {UP KEYED "tlog_threshold: 0}}\n", 2, 59, "between 1 and 8"},
    {UP KEYED "timestamp_threshold: 9}}\n", 2, 64, "between 1 and 8"},
    {UP KEYED "sct_threshold: 1}}\n", 2, 43, "unknown key"},
    {UP KEYED "witnesses: {threshold: 1, keys: [{name: w, file: b.pub}]}}}\n", 2, 54,
     "expected tlog: required beside it"},
    {UP KEYED "witnesses: {threshold: 2, keys: [{name: w, file: b.pub}]}}}\n", 2, 66,
     "expected at most 1"},
    {UP KEYED "witnesses: {threshold: 0, keys: [{name: w, file: b.pub}]}}}\n", 2, 66,
     "between 1 and 32"},
    {UP KEYED "witnesses: {threshold: 1, keys: []}}}\n", 2, 75, "an empty list"},
    {UP KEYED "witnesses: {keys: [{name: w, file: b.pub}]}}}\n", 2, 54, "\"threshold\" is missing"},
    {UP KEYED "witnesses: {threshold: 1, keys: [{name: w+, file: b.pub}]}}}\n", 2, 83,
     "without spaces and plus signs"},
    {UP KEYED "witnesses: {threshold: 1, keys: [{name: w, file: p256.pub}]}}}\n", 2, 92,
     "witnesses sign with Ed25519"},
    {UP KEYED "witnesses: {threshold: 1, keys: [{name: w, file: none.pub}]}}}\n", 2, 92,
     "no such file"},
    {UP KEYED "witnesses: {threshold: 1, keys: [{name: w, file: b.pub}, {name: v, file: "
              "b.pub}]}}}\n",
     2, 100, "the key of one witness twice"},
    {UP ROOTED "signers: {a: {keyless: {root: r, issuer: i}}}\n", 3, 24, "\"subject\" or"},
    {UP ROOTED "signers: {a: {keyless: {root: r, subject: x}}}\n", 3, 24, "\"issuer\" or"},
    {UP ROOTED "signers: {a: {keyless: {root: r, issuer: i, subject: x, subject_regex: y}}}\n", 3,
     72, "only one of \"subject\""},
    {UP ROOTED "signers: {a: {keyless: {root: r, issuer: i, subject: x, subjectRegex: y}}}\n", 3,
     57, "unknown key"},
    {UP ROOTED "signers: {a: {keyless: {root: r, issuer: i, subject: x, tlog: off}}}\n", 3, 63,
     "expected timestamp: required"},
    {UP ROOTED "signers: {a: {keyless: {root: none, issuer: i, subject: x}}}\n", 3, 31,
     "the name of a root"},
    {UP "roots: {r: {}}\n", 2, 12, "expected exactly one of"},
    {USES "tests: [{image: ghcr.io/a/b, covered_by: []}]\n", 5, 42, "covered by [p]"},
    {USES "tests: [{image: ghcr.io/x/b, covered_by: [q]}]\n", 5, 43, "there is no policy"},
};

static void config_fault_is_named_with_its_place(void **state)
{
    size_t bad = 0;

    (void)state;
    for (size_t i = 0; i < GH_COUNT(faults); i++) {
        struct config_problems problems;
        struct config *config = load(faults[i].text, NULL, &problems);
        const struct config_problem *first = NULL;

        for (size_t j = 0; j < problems.count && first == NULL; j++) {
            first = problems.items[j].severity == CONFIG_ERROR ? &problems.items[j] : NULL;
        }
        if (config != NULL || first == NULL || first->line != faults[i].line ||
            first->column != faults[i].column || strstr(first->message, faults[i].part) == NULL) {
            (void)fprintf(stderr, "row %zu: %s\nexpected %u:%u: %s\n", i, faults[i].text,
                          faults[i].line, faults[i].column, faults[i].part);
            memory_print(&problems);
            bad++;
        }
        config_problems_done(&problems);
    }
    assert_int_equal(bad, 0);
}

static void config_all_faults_come_at_once(void **state)
{
    struct config_problems problems;
    struct config *config = load(UP "workers: x\n"
                                    "offline: maybe\n"
                                    "signers: {a: {keys: [{file: none}]}}\n"
                                    "policies: [{name: p, images: [\"*\"], require: []}]\n",
                                 NULL, &problems);

    (void)state;
    assert_null(config);
    assert_int_equal(problems.error_count, 5);
    for (size_t i = 1; i < problems.count; i++) {
        assert_true(problems.items[i - 1].line <= problems.items[i].line);
    }
    config_problems_done(&problems);
}

static void config_secret_is_never_repeated(void **state)
{
    struct config_problems problems;
    struct config *config = load("upstreams: {ghcr.io: {url: https://ghcr.io, credentials: "
                                 "{username: bot, password: hunter2}}}\n",
                                 NULL, &problems);

    (void)state;
    assert_null(config);
    for (size_t i = 0; i < problems.count; i++) {
        assert_null(strstr(problems.items[i].message, "hunter2"));
        assert_null(strstr(problems.items[i].found, "hunter2"));
    }
    config_problems_done(&problems);
}

static void config_off_and_no_are_words(void **state)
{
    struct config_problems problems;
    struct config *config =
        load(UP "signers: {no: {keys: [{file: cosign.pub}], tlog: off, match_reference: off}}\n"
                "policies: [{name: off, images: [\"ghcr.io/**\"], require: [{signature: no}]}]\n",
             NULL, &problems);

    (void)state;
    memory_print(&problems);
    assert_non_null(config);
    assert_string_equal(config->tenants[0].snapshot.policies[0].name, "off");
    config_unref(config);
    config_problems_done(&problems);
}

static void config_json_is_valid(void **state)
{
    struct config_problems problems;
    struct config *config = load("{\"upstreams\": {\"ghcr.io\": {\"url\": \"https://ghcr.io/\"}},\n"
                                 "\"signers\": {\"r\": {\"keys\": [{\"file\": \"b.pub\"}]}},\n"
                                 "\"policies\": [{\"name\": \"p\", \"images\": [\"ghcr.io/**\"],"
                                 "\"require\": [{\"signature\": \"r\"}]}]}",
                                 NULL, &problems);

    (void)state;
    assert_non_null(config);
    assert_string_equal(config->tenants[0].upstreams.items[0].url, "https://ghcr.io");
    config_unref(config);
    config_problems_done(&problems);
}

static void config_list_takes_the_place_of_its_default(void **state)
{
    struct config_problems problems;
    struct config *config =
        load(USES "listen: [{address: \"127.0.0.1:1\"}, \"127.0.0.1:2\"]\n", NULL, &problems);

    (void)state;
    memory_print(&problems);
    assert_non_null(config);
    assert_int_equal(config->listen.count, 2);
    assert_string_equal(config->listen.items[0].address, "127.0.0.1:1");
    assert_string_equal(config->listen.items[1].address, "127.0.0.1:2");
    config_unref(config);
    config_problems_done(&problems);
}

static void config_equal_requirements_are_one_leaf(void **state)
{
    struct config_problems problems;
    struct config *config =
        load(UP SIGNERS
             "policies:\n"
             "- {name: a, images: [\"ghcr.io/**\"], require: [{signature: release}]}\n"
             "- {name: b, images: [\"ghcr.io/**\"], require: [{any: [{signature: release}, "
             "{signature: b}]}]}\n"
             "- {name: c, images: [\"ghcr.io/**\"], require: [{signature: release, annotations: "
             "{env: prod}}]}\n",
             NULL, &problems);

    (void)state;
    assert_non_null(config);
    assert_int_equal(config->tenants[0].snapshot.leaf_count, 3);
    config_unref(config);
    config_problems_done(&problems);
}

static void config_fingerprint_follows_meaning_alone(void **state)
{
    struct config_problems problems;
    struct config *one = load(USES, NULL, &problems);
    struct config *two;

    (void)state;
    config_problems_done(&problems);
    two = load("# a comment\n" USES, NULL, &problems);
    config_problems_done(&problems);
    assert_non_null(one);
    assert_non_null(two);
    assert_string_equal(one->fingerprint_text, two->fingerprint_text);
    config_unref(two);
    two = load(POLICY("mode: warn, " USED), NULL, &problems);
    config_problems_done(&problems);
    assert_non_null(two);
    assert_string_not_equal(one->fingerprint_text, two->fingerprint_text);
    config_unref(one);
    config_unref(two);
}

/* Thresholds reach the signer, and each of them is part of what a verdict rests on. */
static void config_thresholds_reach_the_signer(void **state)
{
#define VOUCHED(rest)                                                                              \
    UP "roots: {r: {trusted_root: root.json}}\n"                                                   \
       "signers:\n"                                                                                \
       "  k: {keys: [{file: cosign.pub}], root: r, tlog: required, timestamp: required" rest "}\n" \
       "  i: {keyless: {root: r, issuer: \"https://i.test\", subject: \"https://s.test/x\", "      \
       "timestamp: required" rest "}}\n"                                                           \
       "policies:\n- {name: p, images: [\"ghcr.io/a/**\"], require: [{signature: k}, {signature: " \
       "i}]}\n"
    static const char *const texts[] = {
        VOUCHED(""),
        VOUCHED(", tlog_threshold: 2"),
        VOUCHED(", timestamp_threshold: 3"),
        VOUCHED(", witnesses: {threshold: 1, keys: [{name: w, file: b.pub}]}"),
        VOUCHED(", witnesses: {threshold: 1, keys: [{name: v, file: b.pub}]}"),
        VOUCHED(", witnesses: {threshold: 1, keys: [{name: w, file: c.pub}]}"),
        VOUCHED(", witnesses: {threshold: 1, keys: [{name: w, file: b.pub}, {name: v, file: "
                "c.pub}]}"),
        VOUCHED(", witnesses: {threshold: 2, keys: [{name: w, file: b.pub}, {name: v, file: "
                "c.pub}]}"),
    };
    struct digest seen[GH_COUNT(texts)];

    (void)state;
    for (size_t i = 0; i < GH_COUNT(texts); i++) {
        struct config_problems problems;
        struct config *config = load(texts[i], NULL, &problems);
        const struct snapshot *snapshot;

        memory_print(&problems);
        assert_non_null(config);
        snapshot = &config->tenants[0].snapshot;
        assert_int_equal(snapshot->signer_count, 2);
        for (size_t j = 0; j < snapshot->signer_count; j++) {
            const struct signer *signer = snapshot->signers[j];

            assert_int_equal(signer->tlog_threshold, i == 1 ? 2 : 1);
            assert_int_equal(signer->timestamp_threshold, i == 2 ? 3 : 1);
            assert_int_equal(signer->witness_threshold, i < 3 ? 0 : i == 7 ? 2 : 1);
            assert_int_equal(signer->witness_count, i < 3 ? 0 : i >= 6 ? 2 : 1);
        }
        seen[i] = snapshot->signers[0]->fingerprint;
        for (size_t j = 0; j < i; j++) {
            assert_false(digest_equal(&seen[i], &seen[j]));
        }
        config_unref(config);
        config_problems_done(&problems);
    }
}

static void config_unused_signer_is_a_warning(void **state)
{
    struct config_problems problems;
    struct config *config = load(POLICY("require: [{signature: b}]"), NULL, &problems);

    (void)state;
    assert_non_null(config);
    assert_int_equal(problems.count, 1);
    assert_int_equal(problems.items[0].severity, CONFIG_WARNING);
    assert_int_equal(problems.items[0].line, 2);
    config_unref(config);
    config_problems_done(&problems);
}

/* ---- exceptions ---- */

#define X_FILE                                                                                     \
    USES "exceptions: x.yaml\nexceptions_approvers: [sec@acme.example]\nexceptions_max: 90d\n"
#define X(images, policies, rest)                                                                  \
    "exceptions:\n- id: E1\n  images: [\"" images "\"]\n  policies: [" policies                    \
    "]\n  justification: j\n" rest
#define X_WHO "  owner: jane@acme.example\n  approved_by: sec@acme.example\n"
#define X_WHEN "  created: 2026-11-01\n  expires: 2026-12-15\n"
#define SHA "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static const struct fault exception_faults[] = {
    {X("**", "p", X_WHO X_WHEN), 3, 12, "too wide"},
    {X("ghcr.io/**", "p", X_WHO X_WHEN), 3, 12, "too wide"},
    {X("*/a/b", "p", X_WHO X_WHEN), 3, 12, "too wide"},
    {X("ghcr.io/a/*", "not_covered", X_WHO X_WHEN), 3, 12, "needs a digest"},
    {X("ghcr.io/a/*@" SHA, "p", X_WHO X_WHEN), 3, 12, "without `*`"},
    {X("ghcr.io/a/b", "q", X_WHO X_WHEN), 4, 14, "the name of a policy"},
    {X("ghcr.io/a/b", "p", X_WHO "  created: 2026-11-01\n"), 2, 3, "\"expires\" is missing"},
    {X("ghcr.io/a/b", "p", X_WHO "  created: 2026-11-01\n  expires: 2027-02-28\n"), 9, 12,
     "more than 90 days"},
    {X("ghcr.io/a/b", "p", X_WHO "  created: 2026-11-01\n  expires: 2026-10-01\n"), 9, 12,
     "a moment after"},
    {X("ghcr.io/a/b", "p", "  owner: sec@acme.example\n  approved_by: sec@acme.example\n" X_WHEN),
     7, 16, "found the owner"},
    {X("ghcr.io/a/b", "p", "  owner: j\n  approved_by: eve\n" X_WHEN), 7, 16, "not one of"},
    {X("ghcr.io/a/b", "p", X_WHO X_WHEN "  waive: [signature:none]\n"), 10, 11,
     "no requirement of these policies"},
    {X("ghcr.io/a/b", "p",
       X_WHO X_WHEN "  renewals: [{at: 2026-11-20, by: sec@acme.example, "
                    "expires: 2027-12-01}]\n"),
     10, 62, "more than 90 days"},
    {X("ghcr.io/a/b", "p",
       X_WHO X_WHEN "  renewals: [{at: 2026-11-20, by: "
                    "jane@acme.example, expires: 2027-01-01}]\n"),
     10, 35, "found the owner"},
};

static void exception_fault_is_named_with_its_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < GH_COUNT(exception_faults); i++) {
        const struct fault *fault = &exception_faults[i];
        struct config_problems problems;
        struct config *config = load(X_FILE, fault->text, &problems);
        const struct config_problem *first = NULL;

        for (size_t j = 0; j < problems.count && first == NULL; j++) {
            first = problems.items[j].severity == CONFIG_ERROR ? &problems.items[j] : NULL;
        }

        if (config != NULL || first == NULL || first->line != fault->line ||
            first->column != fault->column || strstr(first->message, fault->part) == NULL) {
            memory_print(&problems);
            fail_msg("row %zu: %s\nexpected %u:%u: %s", i, fault->text, fault->line, fault->column,
                     fault->part);
        }
        assert_string_equal(first->file, "/etc/gatehouse/x.yaml");
        config_problems_done(&problems);
    }
}

static void exception_renewal_moves_its_end(void **state)
{
    struct config_problems problems;
    struct config *config =
        load(X_FILE,
             X("ghcr.io/a/b", "p",
               X_WHO X_WHEN "  waive: [signature:b]\n"
                            "  renewals: [{at: 2026-11-20, by: sec@acme.example, expires: "
                            "2027-01-31}]\n"),
             &problems);
    const struct exception *exception;

    (void)state;
    memory_print(&problems);
    assert_non_null(config);
    assert_int_equal(config->tenants[0].snapshot.exception_count, 1);
    exception = &config->tenants[0].snapshot.exceptions[0];
    assert_int_equal(exception->expires_unix_s, INT64_C(1801440000)); /* 2027-02-01T00:00:00Z */
    assert_true(exception_in_force(exception, INT64_C(1801439999)));
    assert_false(exception_in_force(exception, INT64_C(1801440000)));
    config_unref(config);
    config_problems_done(&problems);
}

/* ---- scalars ---- */

#define KEYS_OF(keys)                                                                              \
    "upstreams: {ghcr.io: {url: https://ghcr.io}}\nsigners:\n  release: {keys: [" keys             \
    "]}\n  spare: {keys: [{file: c.pub}]}\n"                                                       \
    "policies: [{name: ours, images: [\"ghcr.io/acme/**\"], require: [{any: [{signature: "         \
    "release}, {signature: spare}]}]}]\n"

static void config_key_life_that_breaks_pulls_is_warned_of(void **state)
{
    static const struct {
        const char *text;
        const char *warning; /* NULL: none */
    } rows[] = {
        {KEYS_OF("{file: cosign.pub}"), NULL},
        {KEYS_OF("{file: cosign.pub, not_after: 2027-12-31}"), NULL},
        {KEYS_OF("{file: cosign.pub, not_after: 2027-02-01}, {file: b.pub, not_before: 2027-01-20, "
                 "not_after: 2027-12-31}"),
         NULL},
        {KEYS_OF("{file: cosign.pub, not_after: 2027-02-01}, {file: b.pub, not_before: 2027-01-28, "
                 "not_after: 2027-12-31}"),
         "the key cosign.pub and its successor are both valid for 4 days"},
        {KEYS_OF("{file: cosign.pub, not_after: 2026-12-01}"),
         "no key of the signer release is valid in 30 days"},
        {KEYS_OF("{file: c.pub, revoked: {at: 2026-01-01T00:00:00Z}}, {file: b.pub}"),
         "the key c.pub is trusted by the signer \"spare\" and revoked in the signer \"release\""},
    };

    (void)state;
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct config_problems problems;
        struct config *config = load(rows[i].text, NULL, &problems);
        bool is_warned = false;

        assert_non_null(config);
        for (size_t k = 0; k < problems.count; k++) {
            is_warned = is_warned || (rows[i].warning != NULL &&
                                      strstr(problems.items[k].message, rows[i].warning) != NULL);
        }
        assert_true(rows[i].warning != NULL ? is_warned : problems.count == 0);
        config_problems_done(&problems);
        config_unref(config);
    }
}

static void config_times_are_read_by_their_meaning(void **state)
{
    int64_t at = 0;

    (void)state;
    assert_true(config_parse_time("2026-12-31", CONFIG_START, &at));
    assert_int_equal(at, INT64_C(1798675200));
    assert_true(config_parse_time("2026-12-31", CONFIG_LAST, &at));
    assert_int_equal(at, INT64_C(1798761599));
    assert_true(config_parse_time("2026-12-31", CONFIG_END, &at));
    assert_int_equal(at, INT64_C(1798761600));
    assert_true(config_parse_time("2026-03-02T10:00:00Z", CONFIG_END, &at));
    assert_int_equal(at, INT64_C(1772445600));
    assert_true(config_parse_time("2028-02-29", CONFIG_START, &at));
    assert_false(config_parse_time("2027-02-29", CONFIG_START, &at));
    assert_false(config_parse_time("2026-03-02T10:00:00", CONFIG_END, &at));
    assert_false(config_parse_time("2026-03-02T10:00:00+01:00", CONFIG_END, &at));
    assert_false(config_parse_time("2026-3-2", CONFIG_END, &at));
    assert_false(config_parse_time("2026-03-02T24:00:00Z", CONFIG_END, &at));
}

static void config_durations_and_sizes_have_units(void **state)
{
    int64_t value = 0;

    (void)state;
    assert_true(config_parse_duration("7d", &value));
    assert_int_equal(value, 604800);
    assert_false(config_parse_duration("7", &value));
    assert_false(config_parse_duration("7D", &value));
    assert_false(config_parse_duration("-7d", &value));
    assert_false(config_parse_duration("1.5h", &value));
    assert_true(config_parse_size("10GiB", &value));
    assert_int_equal(value, INT64_C(10) << 30);
    assert_true(config_parse_size("512", &value));
    assert_false(config_parse_size("10GB", &value));
    assert_false(config_parse_size("999999999999999TiB", &value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(config_smallest_file_loads),
        cmocka_unit_test(config_listen_list_takes_the_place_of_the_default),
        cmocka_unit_test(config_fault_is_named_with_its_place),
        cmocka_unit_test(config_all_faults_come_at_once),
        cmocka_unit_test(config_secret_is_never_repeated),
        cmocka_unit_test(config_off_and_no_are_words),
        cmocka_unit_test(config_json_is_valid),
        cmocka_unit_test(config_list_takes_the_place_of_its_default),
        cmocka_unit_test(config_equal_requirements_are_one_leaf),
        cmocka_unit_test(config_fingerprint_follows_meaning_alone),
        cmocka_unit_test(config_thresholds_reach_the_signer),
        cmocka_unit_test(config_unused_signer_is_a_warning),
        cmocka_unit_test(exception_fault_is_named_with_its_place),
        cmocka_unit_test(exception_renewal_moves_its_end),
        cmocka_unit_test(config_key_life_that_breaks_pulls_is_warned_of),
        cmocka_unit_test(config_times_are_read_by_their_meaning),
        cmocka_unit_test(config_durations_and_sizes_have_units),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
