#include "policy/predicate_licence.h"

#include "policy/predicate_sbom.h"

struct licence_reader {
    struct bytes rest;
    const struct predicate_setting *allowed;
    const struct predicate_setting *denied;
    bool is_broken;
};

static bool licence_or(struct licence_reader *reader, unsigned depth);

static bool licence_is_fine(const struct licence_reader *reader, struct bytes name)
{
    return (!reader->allowed->is_set || predicate_setting_matches(reader->allowed, name)) &&
           !predicate_setting_matches(reader->denied, name);
}

/* The next token: a parenthesis, or a word up to white space or a parenthesis. */
static struct bytes licence_peek(struct licence_reader *reader)
{
    size_t len = 0;

    bytes_skip_space(&reader->rest);
    if (reader->rest.len > 0 && (reader->rest.data[0] == '(' || reader->rest.data[0] == ')')) {
        return bytes_slice(reader->rest, 0, 1);
    }
    while (len < reader->rest.len && reader->rest.data[len] > ' ' &&
           reader->rest.data[len] != '(' && reader->rest.data[len] != ')') {
        len++;
    }
    return bytes_slice(reader->rest, 0, len);
}

static bool licence_take(struct licence_reader *reader, const char *word)
{
    struct bytes token = licence_peek(reader);

    if (token.len == 0 || !bytes_equal_cstr(token, word)) {
        return false;
    }
    reader->rest = bytes_slice(reader->rest, token.len, SIZE_MAX);
    return true;
}

static bool licence_is_word(struct bytes token)
{
    return token.len > 0 && token.data[0] != '(' && token.data[0] != ')' &&
           !bytes_equal_cstr(token, "AND") && !bytes_equal_cstr(token, "OR") &&
           !bytes_equal_cstr(token, "WITH");
}

static bool licence_name(struct licence_reader *reader)
{
    const uint8_t *start;
    struct bytes name = licence_peek(reader), exception;
    bool is_fine;

    if (!licence_is_word(name)) {
        reader->is_broken = true;
        return false;
    }
    start = name.data;
    reader->rest = bytes_slice(reader->rest, name.len, SIZE_MAX);
    is_fine = licence_is_fine(reader, name);
    if (!licence_take(reader, "WITH")) {
        return is_fine;
    }
    exception = licence_peek(reader);
    if (!licence_is_word(exception)) {
        reader->is_broken = true;
        return false;
    }
    reader->rest = bytes_slice(reader->rest, exception.len, SIZE_MAX);
    /* an exception only adds permissions: the licence alone or the pair may be listed */
    name = bytes_make(start, (size_t)(exception.data + exception.len - start));
    return (is_fine && !predicate_setting_matches(reader->denied, name)) ||
           (reader->allowed->is_set && licence_is_fine(reader, name));
}

static bool licence_atom(struct licence_reader *reader, unsigned depth)
{
    bool is_fine;

    if (!licence_take(reader, "(")) {
        return licence_name(reader);
    }
    if (depth == PREDICATE_MAX_LICENCE_DEPTH) {
        reader->is_broken = true;
        return false;
    }
    is_fine = licence_or(reader, depth + 1);
    if (!licence_take(reader, ")")) {
        reader->is_broken = true;
    }
    return is_fine;
}

static bool licence_and(struct licence_reader *reader, unsigned depth)
{
    bool is_fine = licence_atom(reader, depth);

    while (!reader->is_broken && licence_take(reader, "AND")) {
        is_fine = licence_atom(reader, depth) && is_fine;
    }
    return is_fine;
}

static bool licence_or(struct licence_reader *reader, unsigned depth)
{
    bool is_fine = licence_and(reader, depth);

    while (!reader->is_broken && licence_take(reader, "OR")) {
        is_fine = licence_and(reader, depth) || is_fine;
    }
    return is_fine;
}

bool predicate_licence_accepts(struct bytes expression, const struct predicate_setting *allowed,
                               const struct predicate_setting *denied)
{
    struct licence_reader reader = {expression, allowed, denied, false};
    bool is_fine = licence_or(&reader, 0);

    bytes_skip_space(&reader.rest);
    if (reader.is_broken || reader.rest.len > 0) {
        return licence_is_fine(&reader, expression);
    }
    return is_fine;
}
