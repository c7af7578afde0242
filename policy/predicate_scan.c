#include "policy/predicate_scan.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/rfc3339.h"
#include "crypto/sjson.h"
#include "policy/predicate_setting.h"

enum scan_key {
    SCAN_MAX_SEVERITY,
    SCAN_MAX_COUNT,
    SCAN_SCANNER,
    SCAN_MAX_AGE,
    SCAN_DB_MAX_AGE,
    SCAN_ACCEPT,
    SCAN_UNKNOWN_AS
};

/* In rising order; `none` as a limit allows no finding at all. */
enum scan_severity {
    SCAN_NONE,
    SCAN_NEGLIGIBLE,
    SCAN_LOW,
    SCAN_MEDIUM,
    SCAN_HIGH,
    SCAN_CRITICAL,
    SCAN_UNKNOWN
};

static const char *const scan_severities[] = {"none", "negligible", "low", "medium",
                                              "high", "critical",   NULL};

#define SCAN_MAX_LIMIT 1000000

const struct predicate_key predicate_scan_keys[] = {
    [SCAN_MAX_SEVERITY] = {"max_severity", PREDICATE_CHOICE,
                           "The worst severity a finding may have; none: no finding at all.",
                           scan_severities, 0, 0},
    [SCAN_MAX_COUNT] = {"max_count", PREDICATE_COUNTS,
                        "How many findings there may be: a number for all, or a map of severity to "
                        "number.",
                        scan_severities, 0, SCAN_MAX_LIMIT},
    [SCAN_SCANNER] = {"scanner", PREDICATE_PATTERNS,
                      "The scanner's URI with or without its version, as globs.", NULL, 0, 0},
    [SCAN_MAX_AGE] = {"max_age", PREDICATE_DURATION,
                      "How old the scan may be, from the older of its end and its proved time.",
                      NULL, 0, 0},
    [SCAN_DB_MAX_AGE] = {"db_max_age", PREDICATE_DURATION,
                         "How old the scanner's database may be (scanner.db.lastUpdate).", NULL, 0,
                         0},
    [SCAN_ACCEPT] = {"accept", PREDICATE_TEXTS, "Vulnerabilities that do not count, by id.", NULL,
                     0, 0},
    [SCAN_UNKNOWN_AS] = {"unknown_as", PREDICATE_CHOICE,
                         "The severity of findings without a known one (default: critical).",
                         scan_severities, 0, 0},
};
const size_t predicate_scan_key_count = GH_COUNT(predicate_scan_keys);

#define SCAN_IN_TOTO "https://in-toto.io/attestation/vulns"

int64_t predicate_scan_max_age_s(const struct predicate_check *check)
{
    return check->settings[SCAN_MAX_AGE].is_set ? check->settings[SCAN_MAX_AGE].number : 0;
}

struct scan_walk {
    const struct predicate_check *check;
    enum scan_severity unknown_as;
    size_t counts[SCAN_UNKNOWN];
    size_t total;
    size_t visited;
};

static enum scan_severity scan_severity_of(struct bytes text)
{
    static const struct {
        const char *word;
        enum scan_severity severity;
    } words[] = {
        {"critical", SCAN_CRITICAL}, {"high", SCAN_HIGH},
        {"important", SCAN_HIGH},    {"medium", SCAN_MEDIUM},
        {"moderate", SCAN_MEDIUM},   {"low", SCAN_LOW},
        {"minor", SCAN_LOW},         {"negligible", SCAN_NEGLIGIBLE},
        {"none", SCAN_NEGLIGIBLE},   {"informational", SCAN_NEGLIGIBLE},
        {"info", SCAN_NEGLIGIBLE},
    };

    for (size_t i = 0; i < GH_COUNT(words); i++) {
        if (text.len == strlen(words[i].word) &&
            strncasecmp((const char *)text.data, words[i].word, text.len) == 0) {
            return words[i].severity;
        }
    }
    return SCAN_UNKNOWN;
}

/* A CVSS base score by the bands of CVSS 3.1 section 5. */
static enum scan_severity scan_severity_of_score(double score)
{
    if (!(score >= 0.0 && score <= 10.0)) {
        return SCAN_UNKNOWN;
    }
    if (score >= 9.0) {
        return SCAN_CRITICAL;
    }
    if (score >= 7.0) {
        return SCAN_HIGH;
    }
    if (score >= 4.0) {
        return SCAN_MEDIUM;
    }
    return score > 0.0 ? SCAN_LOW : SCAN_NEGLIGIBLE;
}

static enum scan_severity scan_severity_of_value(const json_t *value)
{
    struct bytes text;
    char number[16];
    char *end = NULL;
    double score;

    if (json_is_number(value)) {
        return scan_severity_of_score(json_number_value(value));
    }
    if (!json_is_string(value)) {
        return SCAN_UNKNOWN;
    }
    text = sjson_string(value);
    if (text.len == 0 || !isdigit(text.data[0]) || text.len >= sizeof(number)) {
        return scan_severity_of(text);
    }
    memcpy(number, text.data, text.len);
    number[text.len] = '\0';
    score = strtod(number, &end);
    return *end == '\0' ? scan_severity_of_score(score) : SCAN_UNKNOWN;
}

/* `severity` as a word or number, as {method, score}, or as a list of these: the worst counts. */
static enum scan_severity scan_severity_read(const json_t *value)
{
    enum scan_severity worst = SCAN_NONE;

    if (json_is_object(value)) {
        return scan_severity_of_value(json_object_get(value, "score"));
    }
    if (!json_is_array(value)) {
        return scan_severity_of_value(value);
    }
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *entry = json_array_get(value, i);
        enum scan_severity one =
            scan_severity_of_value(json_is_object(entry) ? json_object_get(entry, "score") : entry);

        /* a vector or another method beside a known score says nothing new */
        if (one != SCAN_UNKNOWN && one > worst) {
            worst = one;
        }
    }
    return worst == SCAN_NONE ? SCAN_UNKNOWN : worst;
}

static bool scan_count(struct scan_walk *walk, struct bytes id, enum scan_severity severity,
                       size_t times, struct gh_error *err)
{
    const struct predicate_setting *most = &walk->check->settings[SCAN_MAX_SEVERITY];

    if (++walk->visited > PREDICATE_MAX_ELEMENTS) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "the scan lists more than %d findings",
                       PREDICATE_MAX_ELEMENTS);
    }
    if (times == 0 || predicate_setting_lists(&walk->check->settings[SCAN_ACCEPT], id)) {
        return true;
    }
    if (severity == SCAN_UNKNOWN) {
        severity = walk->unknown_as;
    }
    if (most->is_set && (most->number == SCAN_NONE || (int64_t)severity > most->number)) {
        return gh_fail(err, GH_VULN_THRESHOLD_EXCEEDED,
                       "finding '%.*s' has severity %s, at most %s is accepted",
                       (int)GH_MIN(id.len, (size_t)80), (const char *)id.data,
                       scan_severities[severity], scan_severities[most->number]);
    }
    walk->counts[severity] += times;
    walk->total += times;
    return true;
}

/* Members that name a finding, in the words of the scanners we know. */
static struct bytes scan_id(const json_t *finding)
{
    static const char *const names[] = {"id", "VulnerabilityID", "name", "vulnerability"};
    struct bytes id = bytes_make(NULL, 0);

    for (size_t i = 0; i < GH_COUNT(names) && id.len == 0; i++) {
        id = predicate_text(finding, names[i]);
    }
    return id;
}

static bool scan_finding(struct scan_walk *walk, const json_t *finding, struct gh_error *err)
{
    const json_t *inner = json_object_get(finding, "vulnerability");
    const json_t *severity;

    if (!json_is_object(finding)) {
        return gh_fail(err, GH_PREDICATE_MALFORMED, "a finding of the scan is not an object");
    }
    if (json_is_object(inner)) {
        /* Grype, in-toto v0.1 */
        return scan_count(walk, scan_id(inner),
                          scan_severity_read(json_object_get(inner, "severity")), 1, err);
    }
    severity = json_object_get(finding, "severity");
    if (severity == NULL) {
        severity = json_object_get(finding, "Severity");
    }
    return scan_count(walk, scan_id(finding), scan_severity_read(severity), 1, err);
}

static bool scan_findings(struct scan_walk *walk, const json_t *list, struct gh_error *err)
{
    if (!json_is_array(list)) {
        return gh_fail(err, GH_PREDICATE_MALFORMED, "the findings of the scan are no list");
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        GH_TRY(scan_finding(walk, json_array_get(list, i), err));
    }
    return true;
}

static bool scan_trivy(struct scan_walk *walk, const json_t *results, struct gh_error *err)
{
    if (!json_is_array(results)) {
        return gh_fail(err, GH_PREDICATE_MALFORMED, "the scan's Results are no list");
    }
    for (size_t i = 0; i < json_array_size(results); i++) {
        const json_t *list = json_object_get(json_array_get(results, i), "Vulnerabilities");

        if (list != NULL && !json_is_null(list)) {
            GH_TRY(scan_findings(walk, list, err));
        }
    }
    return true;
}

static bool scan_summary(struct scan_walk *walk, const json_t *summary, struct gh_error *err)
{
    const char *name;
    json_t *value;

    json_object_foreach ((json_t *)summary, name, value) {
        int64_t times = json_integer_value(value);

        if (!json_is_integer(value) || times < 0 || times > SCAN_MAX_LIMIT) {
            return gh_fail(err, GH_PREDICATE_MALFORMED, "the scan's count of '%.40s' is no count",
                           name);
        }
        GH_TRY(
            scan_count(walk, bytes_of(name), scan_severity_of(bytes_of(name)), (size_t)times, err));
    }
    return true;
}

static bool scan_result(struct scan_walk *walk, const json_t *result, struct gh_error *err)
{
    static const char *const lists[] = {"findings", "vulnerabilities", "matches"};
    const json_t *trivy = json_object_get(result, "Results");
    const json_t *summary = json_object_get(result, "summary");

    if (json_is_array(result)) {
        return scan_findings(walk, result, err);
    }
    if (trivy != NULL) {
        return scan_trivy(walk, trivy, err);
    }
    for (size_t i = 0; i < GH_COUNT(lists); i++) {
        const json_t *list = json_object_get(result, lists[i]);

        if (list != NULL) {
            return scan_findings(walk, list, err);
        }
    }
    if (json_is_object(summary)) {
        return scan_summary(walk, summary, err);
    }
    /* Trivy leaves Results out when it found nothing to look at */
    if (json_object_get(result, "SchemaVersion") != NULL &&
        json_object_get(result, "ArtifactName") != NULL) {
        return true;
    }
    return gh_fail(err, GH_PREDICATE_MALFORMED,
                   "the scanner's result has no form that is known; nothing can be said of it");
}

static bool scan_check_counts(const struct scan_walk *walk, struct gh_error *err)
{
    const struct predicate_setting *most = &walk->check->settings[SCAN_MAX_COUNT];

    if (!most->is_set) {
        return true;
    }
    if (most->total >= 0 && walk->total > (size_t)most->total) {
        return gh_fail(err, GH_VULN_THRESHOLD_EXCEEDED, "%zu findings, at most %lld are accepted",
                       walk->total, (long long)most->total);
    }
    for (size_t i = 0; i < SCAN_UNKNOWN; i++) {
        if (most->counts[i] >= 0 && walk->counts[i] > (size_t)most->counts[i]) {
            return gh_fail(err, GH_VULN_THRESHOLD_EXCEEDED,
                           "%zu findings of severity %s, at most %lld are accepted",
                           walk->counts[i], scan_severities[i], (long long)most->counts[i]);
        }
    }
    return true;
}

static bool scan_check_scanner(const struct predicate_check *check, const json_t *scanner,
                               struct gh_error *err)
{
    const struct predicate_setting *setting = &check->settings[SCAN_SCANNER];
    struct bytes uri = predicate_text(scanner, "uri");
    size_t version = bytes_find_last(uri, BYTES_LITERAL("@"));
    char wanted[PREDICATE_MAX_WANTED];

    if (!setting->is_set ||
        (uri.len > 0 && (predicate_setting_matches(setting, uri) ||
                         predicate_setting_matches(setting, bytes_slice(uri, 0, version))))) {
        return true;
    }
    predicate_setting_wanted(setting, wanted);
    return gh_fail(err, GH_POLICY_DENIED, "the scanner is '%.*s', wanted %s",
                   (int)GH_MIN(uri.len, (size_t)90), (const char *)uri.data, wanted);
}

static bool scan_check_database(const struct predicate_check *check,
                                const struct predicate_input *input, int64_t *until_unix_s,
                                struct gh_error *err)
{
    const struct predicate_setting *most = &check->settings[SCAN_DB_MAX_AGE];
    int64_t updated;

    if (!most->is_set) {
        return true;
    }
    if (!rfc3339_parse(predicate_text_at(input->predicate, "/scanner/db/lastUpdate"), &updated) ||
        updated < input->now_unix_s - most->number) {
        return gh_fail(err, GH_VULN_SCAN_STALE,
                       "the scanner's database is older than %lld seconds, or its age is not known",
                       (long long)most->number);
    }
    *until_unix_s = GH_MIN(*until_unix_s, updated + most->number);
    return true;
}

bool predicate_scan_judge(const struct predicate_check *check, const struct predicate_input *input,
                          int64_t *until_unix_s, struct gh_error *err)
{
    const struct predicate_setting *unknown = &check->settings[SCAN_UNKNOWN_AS];
    const json_t *scanner = json_object_get(input->predicate, "scanner");
    const json_t *result = json_object_get(scanner, "result");
    struct scan_walk walk = {.check = check, .unknown_as = SCAN_CRITICAL};
    bool is_in_toto = bytes_starts_with(input->type, BYTES_LITERAL(SCAN_IN_TOTO));

    if (unknown->is_set) {
        walk.unknown_as = (enum scan_severity)unknown->number;
    }
    if (!json_is_object(scanner) || result == NULL || json_is_null(result) ||
        (is_in_toto && !json_is_array(result))) {
        return gh_fail(err, GH_PREDICATE_MALFORMED, "the scan has no scanner or no result");
    }
    GH_TRY(scan_check_scanner(check, scanner, err));
    GH_TRY(scan_check_database(check, input, until_unix_s, err));
    if (check->settings[SCAN_MAX_SEVERITY].is_set || check->settings[SCAN_MAX_COUNT].is_set) {
        GH_TRY(scan_result(&walk, result, err));
    }
    return scan_check_counts(&walk, err);
}
