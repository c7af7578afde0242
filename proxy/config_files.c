#include "proxy/config_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <limits.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "metrics/audit.h"
#include "metrics/audit_note.h"
#include "metrics/error.h"
#include "proxy/htpasswd.h"
#include "proxy/tls.h"

static bool config_files_read_open(int fd, const char *path, size_t limit, struct bytes_buf *out,
                                   unsigned *mode, struct gh_error *err)
{
    struct stat facts;
    struct bytes_buf buf = {0};
    size_t used = 0;

    if (fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode)) {
        return gh_fail(err, GH_NAME_UNKNOWN, "%s is not a file", path);
    }
    if ((uint64_t)facts.st_size > limit) {
        return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED, "%s has %lld bytes, at most %zu are read", path,
                       (long long)facts.st_size, limit);
    }
    /* One byte more, so that a file that grew meanwhile is noticed. */
    GH_TRY(bytes_buf_alloc((size_t)facts.st_size + 1, &buf, err));
    while (used < buf.len) {
        ssize_t got = read(fd, buf.data + used, buf.len - used);

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            break;
        }
        used += (size_t)got;
    }
    if (used != (size_t)facts.st_size) {
        bytes_buf_done(&buf);
        return gh_fail(err, GH_NAME_UNKNOWN, "%s changed while it was read", path);
    }
    buf.len = used;
    *out = buf;
    *mode = (unsigned)facts.st_mode & 07777u;
    return true;
}

bool config_files_read(const char *path, size_t limit, struct bytes_buf *out, unsigned *mode,
                       struct gh_error *err)
{
    /* Not blocking: a path that names a pipe must not hang the start. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool is_read;

    if (fd < 0) {
        char reason[128] = "";

        return gh_fail(err, GH_NAME_UNKNOWN, "%s cannot be read: %s", path,
                       strerror_r(errno, reason, sizeof(reason)));
    }
    is_read = config_files_read_open(fd, path, limit, out, mode, err);
    (void)close(fd);
    return is_read;
}

struct config_files_copy {
    struct config_files_copy *next;
    char *path;
    struct bytes_buf content;
    unsigned mode;
};

static void config_files_forget(struct config_files_copy **list)
{
    while (*list != NULL) {
        struct config_files_copy *copy = *list;

        *list = copy->next;
        if (copy->content.data != NULL) {
            explicit_bzero(copy->content.data, copy->content.len); /* some hold secrets */
        }
        bytes_buf_done(&copy->content);
        free(copy->path);
        free(copy);
    }
}

static bool config_files_keep(struct config_files *files, const char *path,
                              const struct bytes_buf *content, unsigned mode, struct gh_error *err)
{
    struct config_files_copy *copy = calloc(1, sizeof(*copy));

    if (copy == NULL || (copy->path = strdup(path)) == NULL ||
        !bytes_dup(bytes_view(content), &copy->content, err)) {
        config_files_forget(&copy);
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for the configuration");
    }
    copy->mode = mode;
    copy->next = files->reading;
    files->reading = copy;
    return true;
}

static bool config_files_on_read(void *context, const char *path, size_t limit,
                                 struct bytes_buf *out, unsigned *mode, struct gh_error *err)
{
    struct config_files *files = context;
    GH_OWN(bytes_buf_done) struct bytes_buf content = {0};

    if (files->is_replaying) {
        for (const struct config_files_copy *copy = files->kept; copy != NULL; copy = copy->next) {
            if (strcmp(copy->path, path) == 0) {
                *mode = copy->mode;
                return bytes_dup(bytes_view(&copy->content), out, err);
            }
        }
    }
    GH_TRY(config_files_read(path, limit, &content, mode, err));
    if (files->is_keeping && !files->is_replaying) {
        GH_TRY(config_files_keep(files, path, &content, *mode, err));
    }
    *out = content;
    content = (struct bytes_buf){0};
    return true;
}

void config_files_settle(struct config_files *files, bool is_loaded)
{
    if (files->is_replaying || !is_loaded) {
        config_files_forget(&files->reading);
        return;
    }
    config_files_forget(&files->kept);
    files->kept = files->reading;
    files->reading = NULL;
}

void config_files_done(struct config_files *files)
{
    config_files_forget(&files->kept);
    config_files_forget(&files->reading);
}

char *config_files_rewrite(const struct config_fetch *fetch, const char *url)
{
    for (size_t i = 0; i < fetch->rewrite.count; i++) { /* longest prefix first */
        const struct config_pair *rule = &fetch->rewrite.items[i];
        char *made = NULL;

        if (config_rewrite_matches(rule->name, url)) {
            size_t used = GH_MIN(strlen(rule->name), strlen(url));

            return asprintf(&made, "%s%s", rule->value, url + used) < 0 ? NULL : made;
        }
    }
    return strdup(url);
}

static const char *config_files_on_env(void *context, const char *name)
{
    (void)context;
    return getenv(name);
}

static bool config_files_on_tuf(void *context, const struct config_tuf_ask *ask,
                                struct config_tuf_state *out)
{
    const struct config_files *files = context;

    return files->tuf != NULL && files->tuf(files->tuf_context, ask, out);
}

static bool config_files_prove_users(struct bytes text, struct gh_error *err)
{
    GH_OWN(htpasswd_freep) struct htpasswd *users = NULL;

    return htpasswd_parse(text, &users, err);
}

static bool config_files_prove_authorities(struct bytes pem, struct gh_error *err)
{
    BIO *bio = BIO_new_mem_buf(pem.data, (int)GH_MIN(pem.len, (size_t)INT_MAX));
    X509 *first = bio != NULL ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    bool is_good = first != NULL;

    X509_free(first);
    (void)BIO_free(bio);
    ERR_clear_error();
    return is_good || gh_fail(err, GH_TRUST_ROOT_MALFORMED, "holds no PEM certificate");
}

static bool config_files_prove_key(struct bytes pem, struct gh_error *err)
{
    GH_OWN(audit_note_key_freep) struct audit_note_key *key = NULL;

    GH_TRY(audit_note_key_read(pem.data, pem.len, AUDIT_ORIGIN, &key, err));
    return audit_note_key_can_sign(key) ||
           gh_fail(err, GH_KEY_UNKNOWN, "expected a private key, found a public one");
}

static bool config_files_on_prove(void *context, enum config_proof proof,
                                  const struct bytes contents[CONFIG_PROOF_MAX_FILES],
                                  struct gh_error *err)
{
    const struct tls_config config = {
        .certificate = contents[0], .key = contents[1], .client_ca = contents[2]};
    GH_OWN(tls_freep) struct tls *tls = NULL;

    (void)context;
    switch (proof) {
    case CONFIG_PROOF_NONE:
        break;
    case CONFIG_PROOF_USERS:
        return config_files_prove_users(contents[0], err);
    case CONFIG_PROOF_AUTHORITIES:
        return config_files_prove_authorities(contents[0], err);
    case CONFIG_PROOF_CHECKPOINT_KEY:
        return config_files_prove_key(contents[0], err);
    case CONFIG_PROOF_TLS:
        return tls_new(&config, &tls, err);
    }
    return true;
}

void config_files_loader(struct config_files *files, struct config_loader *out)
{
    *out = (struct config_loader){.context = files,
                                  .read = config_files_on_read,
                                  .env = config_files_on_env,
                                  .tuf = config_files_on_tuf,
                                  .prove = config_files_on_prove};
}

void config_files_print(const struct config_problems *problems, bool is_printing_warnings)
{
    for (size_t i = 0; i < problems->count; i++) {
        const struct config_problem *problem = &problems->items[i];

        if (problem->severity == CONFIG_WARNING && !is_printing_warnings) {
            continue;
        }
        if (problem->line == 0) {
            (void)fprintf(stderr, "%s: ", problem->file);
        } else {
            (void)fprintf(stderr, "%s:%u:%u: ", problem->file, problem->line, problem->column);
        }
        (void)fprintf(stderr, "%s: %s\n", problem->severity == CONFIG_ERROR ? "error" : "warning",
                      problem->message);
    }
    if (problems->dropped > 0) {
        (void)fprintf(stderr, "%zu more\n", problems->dropped);
    }
}

bool config_files_load(struct config_files *files, const char *path, int64_t now_unix_s,
                       bool is_printing_warnings, struct config **out)
{
    struct config_loader loader;
    struct config_problems problems;
    struct gh_error err = {0};
    bool is_loaded;

    config_files_loader(files, &loader);
    is_loaded = config_load(&loader, path, now_unix_s, out, &problems, &err);
    config_files_print(&problems, is_printing_warnings);
    if (!is_loaded && problems.error_count == 0) {
        (void)fprintf(stderr, "%s: error: %s\n", path, err.text);
    }
    config_problems_done(&problems);
    return is_loaded;
}
