/*
 * Imports for tests: run one, look at its findings, load what it wrote.
 */
#ifndef TESTS_SUPPORT_IMPORT_CASE_H
#define TESTS_SUPPORT_IMPORT_CASE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/error.h"
#include "policy/config.h"
#include "policy/import.h"
#include "tests/support/memory_loader.h"

#define IMPORT_CASE_NOW INT64_C(1795219200) /* 2026-11-21 */

struct import_case {
    const struct import_pair *settings;
    size_t setting_count;
    enum import_unverified unverified;
};

static inline void import_case_run(enum import_format format, const struct import_case *given,
                                   const char *path, struct bytes content,
                                   struct import_result *out)
{
    struct import_document document = {path, content};
    struct import_request request = {.format = format,
                                     .documents = &document,
                                     .document_count = 1,
                                     .owner = "jane@acme.example",
                                     .approved_by = "sec@acme.example",
                                     .created = "2026-11-21",
                                     .expires = "2026-12-21",
                                     .can_write_files = true};
    struct gh_error err = {0};

    if (given != NULL) {
        request.settings = given->settings;
        request.setting_count = given->setting_count;
        request.unverified = given->unverified;
    }
    if (!import_run(&request, out, &err)) {
        print_message("# import_run: %s\n", err.text);
        assert_true(false);
    }
}

static inline const char *import_case_first_refusal(const struct import_result *result)
{
    for (size_t i = 0; i < result->finding_count; i++) {
        if (result->findings[i].class == IMPORT_X) {
            return result->findings[i].text;
        }
    }
    return "";
}

static inline void import_case_print(const struct import_result *result)
{
    for (size_t i = 0; i < result->finding_count; i++) {
        const struct import_finding *finding = &result->findings[i];

        if (finding->class == IMPORT_X) {
            print_message("#   %s:%u: %s: %s\n", finding->file, finding->line, finding->path,
                          finding->text);
        }
    }
}

/* Files the import wrote are themselves; others are of the tests' data, by the kind of name. */
static inline bool import_case_read(void *context, const char *path, size_t limit,
                                    struct bytes_buf *out, unsigned *mode, struct gh_error *err)
{
    const struct import_result *result = context;
    const char *name = strrchr(path, '/') == NULL ? path : strrchr(path, '/') + 1;
    const char *data = getenv("GH_TEST_DATA");
    const char *real = NULL;
    char full[1024];
    struct bytes_buf buf = {0};
    FILE *file;
    long size;

    *mode = 0644;
    if (strcmp(name, "gatehouse.yaml") == 0) {
        return bytes_dup(bytes_of(text_cstr(&result->config)), out, err);
    }
    for (size_t i = 0; i < result->file_count; i++) {
        if (strcmp(result->files[i].name, name) == 0) {
            return bytes_dup(result->files[i].content, out, err);
        }
    }
    if (strstr(name, ".pub") != NULL || strstr(name, "key") != NULL) {
        return bytes_dup(bytes_of(MEMORY_KEY_A), out, err);
    }
    real = strstr(name, "root.json") != NULL ? "fixtures/logs/trusted_root.json"
           : strstr(name, "tsa") != NULL     ? "data/config/tsa-root.pem"
                                             : "data/config/notation-root.pem";
    (void)snprintf(full, sizeof(full), "%s/%s", data, real);
    file = fopen(full, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 0 ||
        (size_t)size > limit || !bytes_buf_alloc((size_t)size, &buf, err)) {
        return gh_fail(err, GH_NAME_UNKNOWN, "%s cannot be read", full);
    }
    rewind(file);
    if (fread(buf.data, 1, (size_t)size, file) != (size_t)size) {
        bytes_buf_done(&buf);
        (void)fclose(file);
        return gh_fail(err, GH_NAME_UNKNOWN, "%s cannot be read", full);
    }
    (void)fclose(file);
    *out = buf;
    return true;
}

/* Whether `check` takes it. What it says of keys that are not supported yet is left out. */
static inline bool import_case_checks(const struct import_result *result)
{
    struct config_loader loader = {.context = (void *)result, .read = import_case_read};
    struct config_problems problems;
    struct config *config = NULL;
    struct gh_error err = {0};
    bool is_good =
        config_load(&loader, "/i/gatehouse.yaml", IMPORT_CASE_NOW, &config, &problems, &err);

    if (!is_good) {
        is_good = problems.error_count > 0;
        for (size_t i = 0; i < problems.count; i++) {
            bool is_later = strstr(problems.items[i].message, "not supported yet") != NULL;

            if (problems.items[i].severity == CONFIG_ERROR && !is_later) {
                print_message("#   check: %u: %s\n", problems.items[i].line,
                              problems.items[i].message);
                is_good = false;
            }
        }
    }
    config_unref(config);
    config_problems_done(&problems);
    return is_good;
}

static inline char *import_case_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    char *out = NULL;
    size_t size = 0;
    size_t room = 0;

    if (file == NULL) {
        return NULL;
    }
    for (;;) {
        if (size + 65536 > room) {
            room = room * 2 + 131072;
            out = realloc(out, room);
            assert_non_null(out);
        }
        size_t n = fread(out + size, 1, 65535, file);

        size += n;
        if (n == 0) {
            break;
        }
    }
    out[size] = '\0';
    (void)fclose(file);
    return out;
}

/* A path under the public suites. */
static inline void import_case_suite(char *out, size_t size, const char *path)
{
    FILE *file;

    (void)snprintf(out, size, "%s/../../shared/suites/%s", getenv("GH_TEST_DATA"), path);
    file = fopen(out, "rb");
    if (file != NULL) {
        (void)fclose(file);
        return;
    }
    /* A work tree may stand one folder deeper. */
    (void)snprintf(out, size, "%s/../../../shared/suites/%s", getenv("GH_TEST_DATA"), path);
}

#endif
