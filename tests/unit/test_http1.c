/* The request parser against a table of requests made from RFC 9112, RFC 9110 and RFC 3986. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/http1.h"
#include "proxy/http1_chunked.h"

#define H "Host: h\r\n"
#define G "GET / HTTP/1.1\r\n"
#define P "POST / HTTP/1.1\r\n" H

/* What becomes of a whole request: 0 accepted, else the status. NUL bytes are written as \1 in
 * texts. */
struct row {
    const char *name;
    const char *text;
    unsigned status;
};

static const struct row rows[] = {
    /* request line */
    {"plain", G H "\r\n", 0},
    {"head method", "HEAD / HTTP/1.1\r\n" H "\r\n", 0},
    {"other method", "PROPFIND / HTTP/1.1\r\n" H "\r\n", 0},
    {"lower-case method is a token", "get / HTTP/1.1\r\n" H "\r\n", 0},
    {"one empty line in front", "\r\n" G H "\r\n", 0},
    {"two empty lines in front", "\r\n\r\n" G H "\r\n", 400},
    {"bare LF in front", "\n" G H "\r\n", 400},
    {"space in front", " " G H "\r\n", 400},
    {"two spaces behind method", "GET  / HTTP/1.1\r\n" H "\r\n", 400},
    {"two spaces behind target", "GET /  HTTP/1.1\r\n" H "\r\n", 400},
    {"space behind version", "GET / HTTP/1.1 \r\n" H "\r\n", 400},
    {"tab for space", "GET\t/ HTTP/1.1\r\n" H "\r\n", 400},
    {"tab behind target", "GET /\tHTTP/1.1\r\n" H "\r\n", 400},
    {"no target", "GET HTTP/1.1\r\n" H "\r\n", 400},
    {"empty target", "GET  HTTP/1.1\r\n" H "\r\n", 400},
    {"method with colon", "GE:T / HTTP/1.1\r\n" H "\r\n", 400},
    {"method with at", "G@T / HTTP/1.1\r\n" H "\r\n", 400},
    {"method with control", "G\x02T / HTTP/1.1\r\n" H "\r\n", 400},
    {"method with high byte", "G\x80T / HTTP/1.1\r\n" H "\r\n", 400},
    {"method too long", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1\r\n" H "\r\n", 501},
    {"connect", "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n", 501},
    {"HTTP/0.9", "GET /\r\n", 400},
    {"HTTP/0.9 with version words", "GET / \r\n\r\n", 400},
    {"HTTP/0.9 spelled", "GET / HTTP/0.9\r\n" H "\r\n", 505},
    {"HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", 0},
    {"HTTP/1.0 with host", "GET / HTTP/1.0\r\n" H "\r\n", 0},
    {"HTTP/1.2", "GET / HTTP/1.2\r\n" H "\r\n", 505},
    {"HTTP/2.0", "GET / HTTP/2.0\r\n" H "\r\n", 505},
    {"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\n", 505},
    {"HTTP/1", "GET / HTTP/1\r\n" H "\r\n", 400},
    {"HTTP/1.10", "GET / HTTP/1.10\r\n" H "\r\n", 400},
    {"HTTP/01.1", "GET / HTTP/01.1\r\n" H "\r\n", 400},
    {"HTTP/1,1", "GET / HTTP/1,1\r\n" H "\r\n", 400},
    {"HTTP/+1.1", "GET / HTTP/+1.1\r\n" H "\r\n", 400},
    {"lower-case version", "GET / http/1.1\r\n" H "\r\n", 400},
    {"HTPT", "GET / HTPT/1.1\r\n" H "\r\n", 400},
    {"HTTP/1.x", "GET / HTTP/1.x\r\n" H "\r\n", 400},
    {"TLS hello", "\x16\x03\x01", 400},
    /* targets */
    {"query", "GET /a?b=c&d HTTP/1.1\r\n" H "\r\n", 0},
    {"empty query", "GET /a? HTTP/1.1\r\n" H "\r\n", 0},
    {"second question mark", "GET /a?b?c HTTP/1.1\r\n" H "\r\n", 0},
    {"sub-delims", "GET /!$&'()*+,;=:@-._~ HTTP/1.1\r\n" H "\r\n", 0},
    {"percent", "GET /%41%2f HTTP/1.1\r\n" H "\r\n", 0},
    {"double slash", "GET //a HTTP/1.1\r\n" H "\r\n", 0},
    {"percent cut", "GET /%4 HTTP/1.1\r\n" H "\r\n", 400},
    {"percent not hex", "GET /%zz HTTP/1.1\r\n" H "\r\n", 400},
    {"percent at end of query", "GET /?% HTTP/1.1\r\n" H "\r\n", 400},
    {"fragment", "GET /a#b HTTP/1.1\r\n" H "\r\n", 400},
    {"high byte", "GET /\xc3\xa9 HTTP/1.1\r\n" H "\r\n", 400},
    {"DEL", "GET /\x7f HTTP/1.1\r\n" H "\r\n", 400},
    {"control", "GET /\x02 HTTP/1.1\r\n" H "\r\n", 400},
    {"NUL", "GET /\1 HTTP/1.1\r\n" H "\r\n", 400},
    {"quote", "GET /\" HTTP/1.1\r\n" H "\r\n", 400},
    {"less than", "GET /< HTTP/1.1\r\n" H "\r\n", 400},
    {"backslash", "GET /\\ HTTP/1.1\r\n" H "\r\n", 400},
    {"brace", "GET /{ HTTP/1.1\r\n" H "\r\n", 400},
    {"caret", "GET /^ HTTP/1.1\r\n" H "\r\n", 400},
    {"backtick", "GET /` HTTP/1.1\r\n" H "\r\n", 400},
    {"pipe", "GET /| HTTP/1.1\r\n" H "\r\n", 400},
    {"relative target", "GET a HTTP/1.1\r\n" H "\r\n", 400},
    {"authority form with GET", "GET h:80 HTTP/1.1\r\n" H "\r\n", 400},
    {"asterisk", "OPTIONS * HTTP/1.1\r\n" H "\r\n", 0},
    {"asterisk with GET", "GET * HTTP/1.1\r\n" H "\r\n", 400},
    {"asterisk and more", "OPTIONS *a HTTP/1.1\r\n" H "\r\n", 400},
    {"absolute", "GET http://h/a HTTP/1.1\r\n" H "\r\n", 0},
    {"absolute https", "GET https://h/a HTTP/1.1\r\n" H "\r\n", 0},
    {"absolute upper-case scheme", "GET HTTP://h/ HTTP/1.1\r\n" H "\r\n", 0},
    {"absolute without path", "GET http://h HTTP/1.1\r\n" H "\r\n", 0},
    {"absolute with query only", "GET http://h?a HTTP/1.1\r\n" H "\r\n", 0},
    {"absolute with port", "GET http://h:80/ HTTP/1.1\r\nHost: h:80\r\n\r\n", 0},
    {"absolute, other host", "GET http://other/ HTTP/1.1\r\n" H "\r\n", 0},
    {"absolute, no host field", "GET http://h/ HTTP/1.1\r\n\r\n", 400},
    {"absolute, bad host field", "GET http://h/ HTTP/1.1\r\nHost: h,i\r\n\r\n", 400},
    {"absolute, no authority", "GET http:///a HTTP/1.1\r\n" H "\r\n", 400},
    {"absolute, userinfo", "GET http://u@h/ HTTP/1.1\r\n" H "\r\n", 400},
    {"absolute, bad port", "GET http://h:x/ HTTP/1.1\r\n" H "\r\n", 400},
    {"absolute, fragment", "GET http://h/#f HTTP/1.1\r\n" H "\r\n", 400},
    {"absolute, other scheme", "GET ftp://h/ HTTP/1.1\r\n" H "\r\n", 400},
    {"absolute, one slash", "GET http:/h HTTP/1.1\r\n" H "\r\n", 400},
    /* Host */
    {"host missing", G "\r\n", 400},
    {"host missing among others", G "A: b\r\n\r\n", 400},
    {"host repeated", G H H "\r\n", 400},
    {"host repeated, other value", G H "Host: i\r\n\r\n", 400},
    {"host repeated in 1.0", "GET / HTTP/1.0\r\n" H H "\r\n", 400},
    {"host empty", G "Host:\r\n\r\n", 400},
    {"host of spaces", G "Host:  \r\n\r\n", 400},
    {"host with port", G "Host: h:5000\r\n\r\n", 0},
    {"host upper case", G "HOST: H\r\n\r\n", 0},
    {"host with empty port", G "Host: h:\r\n\r\n", 0},
    {"host port 65535", G "Host: h:65535\r\n\r\n", 0},
    {"host port 65536", G "Host: h:65536\r\n\r\n", 400},
    {"host port long", G "Host: h:000080\r\n\r\n", 400},
    {"host port a word", G "Host: h:port\r\n\r\n", 400},
    {"host port signed", G "Host: h:+80\r\n\r\n", 400},
    {"host port negative", G "Host: h:-1\r\n\r\n", 400},
    {"host two ports", G "Host: h:80:80\r\n\r\n", 400},
    {"host port only", G "Host: :80\r\n\r\n", 400},
    {"host list", G "Host: h,i\r\n\r\n", 400},
    {"host list with space", G "Host: h, i\r\n\r\n", 400},
    {"host with space", G "Host: h i\r\n\r\n", 400},
    {"host with tab", G "Host: h\ti\r\n\r\n", 400},
    {"host userinfo", G "Host: u@h\r\n\r\n", 400},
    {"host path", G "Host: h/\r\n\r\n", 400},
    {"host url", G "Host: http://h\r\n\r\n", 400},
    {"host query", G "Host: h?a\r\n\r\n", 400},
    {"host fragment", G "Host: h#a\r\n\r\n", 400},
    {"host percent", G "Host: h%00\r\n\r\n", 400},
    {"host high byte", G "Host: h\xc3\xa9\r\n\r\n", 400},
    {"host quoted", G "Host: \"h\"\r\n\r\n", 400},
    {"host semicolon", G "Host: h;i\r\n\r\n", 400},
    {"host backslash", G "Host: h\\i\r\n\r\n", 400},
    {"host IPv4", G "Host: 127.0.0.1:80\r\n\r\n", 0},
    {"host IPv6", G "Host: [::1]\r\n\r\n", 0},
    {"host IPv6 with port", G "Host: [2001:db8::1]:443\r\n\r\n", 0},
    {"host IPv6 open", G "Host: [::1\r\n\r\n", 400},
    {"host IPv6 closed only", G "Host: ::1]\r\n\r\n", 400},
    {"host IPv6 bare", G "Host: ::1\r\n\r\n", 400},
    {"host IPv6 empty", G "Host: []\r\n\r\n", 400},
    {"host IPv6 bad", G "Host: [::g]\r\n\r\n", 400},
    {"host IPv6 long", G "Host: [1:2:3:4:5:6:7:8:9]\r\n\r\n", 400},
    {"host IPv6 zone", G "Host: [fe80::1%25eth0]\r\n\r\n", 400},
    {"host IPv6 and more", G "Host: [::1]a\r\n\r\n", 400},
    {"host IPv6 bad port", G "Host: [::1]:x\r\n\r\n", 400},
    {"host name in brackets", G "Host: [h]\r\n\r\n", 400},
    {"host IPvFuture", G "Host: [v1.a]\r\n\r\n", 400},
    /* fields */
    {"field without value", G H "A:\r\n\r\n", 0},
    {"field without space", G "Host:h\r\nA:b\r\n\r\n", 0},
    {"field with trailing space", G H "A: b \t\r\n\r\n", 0},
    {"field with inner tab", G H "A: b\tc\r\n\r\n", 0},
    {"field with obs-text", G H "A: \xff\x80\r\n\r\n", 0},
    {"field name of all tchars", G H "!#$%&'*+-.^_`|~0aZ: b\r\n\r\n", 0},
    {"space before colon", G H "A : b\r\n\r\n", 400},
    {"tab before colon", G H "A\t: b\r\n\r\n", 400},
    {"host with space before colon", G "Host : h\r\n\r\n", 400},
    {"no colon", G H "A\r\n\r\n", 400},
    {"empty name", G H ": b\r\n\r\n", 400},
    {"space in name", G H "A B: c\r\n\r\n", 400},
    {"paren in name", G H "A(: c\r\n\r\n", 400},
    {"slash in name", G H "A/B: c\r\n\r\n", 400},
    {"high byte in name", G H "\xc3\xa9: c\r\n\r\n", 400},
    {"control in name", G H "A\x02: c\r\n\r\n", 400},
    {"NUL in name", G H "A\1: c\r\n\r\n", 400},
    {"NUL in value", G H "A: b\1c\r\n\r\n", 400},
    {"control in value", G H "A: b\x02\r\n\r\n", 400},
    {"DEL in value", G H "A: b\x7f\r\n\r\n", 400},
    {"escape in value", G H "A: b\x1b\r\n\r\n", 400},
    {"obs-fold with space", G H "A: b\r\n c\r\n\r\n", 400},
    {"obs-fold with tab", G H "A: b\r\n\tc\r\n\r\n", 400},
    {"white space line", G H " \r\n\r\n", 400},
    {"folded first field", G " A: b\r\n" H "\r\n", 400},
    {"bare LF behind request line", "GET / HTTP/1.1\n" H "\r\n", 400},
    {"bare LF behind field", G "Host: h\n\r\n", 400},
    {"bare LF at the end", G H "\n", 400},
    {"bare LF throughout", "GET / HTTP/1.1\nHost: h\n\n", 400},
    {"bare CR in value", G H "A: b\rc\r\n\r\n", 400},
    {"bare CR in request line", "GET /\rHTTP/1.1\r\n" H "\r\n", 400},
    {"two CRs", G H "A: b\r\r\n\r\n", 400},
    {"CR CR LF at the end", G H "\r\r\n", 400},
    {"CR in name", G H "A\rB: c\r\n\r\n", 400},
    /* framing */
    {"length zero", P "Content-Length: 0\r\n\r\n", 0},
    {"length", P "Content-Length: 5\r\n\r\nhello", 0},
    {"length with zeros", P "Content-Length: 005\r\n\r\nhello", 0},
    {"length with GET", G H "Content-Length: 5\r\n\r\nhello", 0},
    {"length empty", P "Content-Length:\r\n\r\n", 400},
    {"length signed", P "Content-Length: +5\r\n\r\nhello", 400},
    {"length negative", P "Content-Length: -5\r\n\r\nhello", 400},
    {"length hex", P "Content-Length: 0x5\r\n\r\nhello", 400},
    {"length word", P "Content-Length: five\r\n\r\n", 400},
    {"length with unit", P "Content-Length: 5b\r\n\r\nhello", 400},
    {"length fraction", P "Content-Length: 5.0\r\n\r\nhello", 400},
    {"length list", P "Content-Length: 5, 5\r\n\r\nhello", 400},
    {"length list without space", P "Content-Length: 5,5\r\n\r\nhello", 400},
    {"length inner space", P "Content-Length: 5 5\r\n\r\nhello", 400},
    {"length quoted", P "Content-Length: \"5\"\r\n\r\nhello", 400},
    {"length repeated", P "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400},
    {"length repeated differing", P "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400},
    {"length overflow", P "Content-Length: 18446744073709551621\r\n\r\nhello", 400},
    {"length 19 digits", P "Content-Length: 9223372036854775807\r\n\r\nhello", 400},
    {"length with underscore name is another field", P "Content_Length: x\r\n\r\n", 0},
    {"chunked", P "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0},
    {"chunked any case", P "transfer-encoding: Chunked\r\n\r\n0\r\n\r\n", 0},
    {"chunked and length", P "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
     400},
    {"length and chunked", P "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     400},
    {"chunked repeated", P "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {"chunked twice", P "Transfer-Encoding: chunked, chunked\r\n\r\n", 400},
    {"gzip and chunked", P "Transfer-Encoding: gzip, chunked\r\n\r\n", 400},
    {"chunked and gzip", P "Transfer-Encoding: chunked, gzip\r\n\r\n", 400},
    {"gzip", P "Transfer-Encoding: gzip\r\n\r\n", 400},
    {"identity", P "Transfer-Encoding: identity\r\n\r\n", 400},
    {"coding empty", P "Transfer-Encoding:\r\n\r\n", 400},
    {"coding prefix", P "Transfer-Encoding: xchunked\r\n\r\n", 400},
    {"coding suffix", P "Transfer-Encoding: chunkedx\r\n\r\n", 400},
    {"coding comma", P "Transfer-Encoding: chunked,\r\n\r\n", 400},
    {"coding leading comma", P "Transfer-Encoding: ,chunked\r\n\r\n", 400},
    {"coding quoted", P "Transfer-Encoding: \"chunked\"\r\n\r\n", 400},
    {"coding parameter", P "Transfer-Encoding: chunked;a=b\r\n\r\n", 400},
    {"coding vertical tab",
     P "Transfer-Encoding: \x0b"
       "chunked\r\n\r\n",
     400},
    {"coding space before colon", P "Transfer-Encoding : chunked\r\n\r\n", 400},
    {"chunked in 1.0", "POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n", 400},
    {"expect", P "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n", 0},
    {"expect any case", P "Content-Length: 5\r\nExpect: 100-Continue\r\n\r\n", 0},
    {"expect other", P "Content-Length: 5\r\nExpect: 200-ok\r\n\r\n", 417},
    {"expect in 1.0 is ignored", "POST / HTTP/1.0\r\nExpect: x\r\n\r\n", 0},
    {"connection list", G H "Connection: a, close\r\n\r\n", 0},
    {"connection bad token", G H "Connection: a b\r\n\r\n", 400},
    /* chunks */
    {"chunk", P "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 0},
    {"chunk hex any case",
     P "Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", 0},
    {"chunk size with zeros", P "Transfer-Encoding: chunked\r\n\r\n005\r\nhello\r\n000\r\n\r\n", 0},
    {"chunk extension",
     P "Transfer-Encoding: chunked\r\n\r\n5;a=b;c;d=\"e \\\" f\"\r\nhello\r\n0;x\r\n\r\n", 0},
    {"chunk extension with white space",
     P "Transfer-Encoding: chunked\r\n\r\n5 ; a = b\r\nhello\r\n0\r\n\r\n", 0},
    {"chunk trailer", P "Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\nC:\r\n\r\n", 0},
    {"chunk size empty", P "Transfer-Encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n", 400},
    {"chunk size signed", P "Transfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n", 400},
    {"chunk size negative", P "Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n", 400},
    {"chunk size 0x", P "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", 400},
    {"chunk size g", P "Transfer-Encoding: chunked\r\n\r\ng\r\nhello\r\n0\r\n\r\n", 400},
    {"chunk size space in front", P "Transfer-Encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\r\n",
     400},
    {"chunk size space behind", P "Transfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n",
     400},
    {"chunk size overflow",
     P "Transfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n", 400},
    {"chunk size huge",
     P "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nhello\r\n0\r\n\r\n", 400},
    {"chunk size underscore", P "Transfer-Encoding: chunked\r\n\r\n1_0\r\nhello\r\n0\r\n\r\n", 400},
    {"chunk line bare LF", P "Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", 400},
    {"chunk line bare CR", P "Transfer-Encoding: chunked\r\n\r\n5\rhello\r\n0\r\n\r\n", 400},
    {"chunk data bare LF", P "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n", 400},
    {"chunk data without end", P "Transfer-Encoding: chunked\r\n\r\n5\r\nhello0\r\n\r\n", 400},
    {"chunk longer than size", P "Transfer-Encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\r\n", 400},
    {"chunk end bare LF", P "Transfer-Encoding: chunked\r\n\r\n0\n\n", 400},
    {"chunk last bare LF", P "Transfer-Encoding: chunked\r\n\r\n0\r\n\n", 400},
    {"chunk extension NUL", P "Transfer-Encoding: chunked\r\n\r\n5;a\1\r\nhello\r\n0\r\n\r\n", 400},
    {"chunk extension NUL quoted",
     P "Transfer-Encoding: chunked\r\n\r\n5;a=\"\1\"\r\nhello\r\n0\r\n\r\n", 400},
    {"chunk extension control",
     P "Transfer-Encoding: chunked\r\n\r\n5;a=\x02\r\nhello\r\n0\r\n\r\n", 400},
    {"chunk extension bare LF", P "Transfer-Encoding: chunked\r\n\r\n5;a\nhello\r\n0\r\n\r\n", 400},
    {"chunk extension quoted CRLF",
     P "Transfer-Encoding: chunked\r\n\r\n5;a=\"\r\n\"\r\nhello\r\n0\r\n\r\n", 400},
    {"chunk extension without name", P "Transfer-Encoding: chunked\r\n\r\n5;\r\nhello\r\n0\r\n\r\n",
     400},
    {"chunk extension without value",
     P "Transfer-Encoding: chunked\r\n\r\n5;a=\r\nhello\r\n0\r\n\r\n", 400},
    {"chunk extension comma", P "Transfer-Encoding: chunked\r\n\r\n5,a\r\nhello\r\n0\r\n\r\n", 400},
    {"trailer bare LF", P "Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\n\r\n", 400},
    {"trailer NUL", P "Transfer-Encoding: chunked\r\n\r\n0\r\nA: \1\r\n\r\n", 400},
    {"trailer space before colon", P "Transfer-Encoding: chunked\r\n\r\n0\r\nA : b\r\n\r\n", 400},
    {"trailer folded", P "Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n c\r\n\r\n", 400},
    {"trailer length", P "Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n", 400},
    {"trailer coding",
     P "Transfer-Encoding: chunked\r\n\r\n0\r\nTransfer-encoding: chunked\r\n\r\n", 400},
    {"trailer host", P "Transfer-Encoding: chunked\r\n\r\n0\r\nHOST: h\r\n\r\n", 400},
    {"trailer no colon", P "Transfer-Encoding: chunked\r\n\r\n0\r\nA\r\n\r\n", 400},
};

/* Feed in steps of STEP bytes, each time from a fresh exact copy, so that no view outlives its
 * buffer and ASan sees every byte read too far. 1: more was wanted at the end. */
static unsigned run(const char *text, size_t len, size_t step)
{
    static struct http1_head head; /* reused, as connections do */
    struct http1_chunked chunked;
    enum http1_result result = HTTP1_MORE;
    size_t have = 0;
    size_t at;

    http1_head_init(&head);
    while (result == HTTP1_MORE && have < len) {
        uint8_t *copy;

        have = GH_MIN(have + step, len);
        copy = malloc(have);
        assert_non_null(copy);
        memcpy(copy, text, have);
        result = http1_head_feed(&head, copy, have);
        free(copy);
    }
    if (result == HTTP1_BAD) {
        assert_non_null(head.why);
        assert_true(head.status >= 400);
        assert_false(head.is_keep_alive);
        return head.status;
    }
    if (result == HTTP1_MORE) {
        return 1;
    }
    if (!head.is_chunked) {
        return 0;
    }
    http1_chunked_init(&chunked);
    at = head.len;
    while (at < len) {
        size_t consumed;
        struct bytes piece;
        size_t part = GH_MIN(step, len - at);
        uint8_t *copy = malloc(part);

        assert_non_null(copy);
        memcpy(copy, text + at, part);
        result = http1_chunked_next(&chunked, copy, part, &consumed, &piece);
        free(copy);
        if (result == HTTP1_BAD) {
            assert_non_null(chunked.why);
            return 400;
        }
        if (result == HTTP1_DONE) {
            return 0;
        }
        assert_true(consumed > 0 && consumed <= part);
        at += consumed;
    }
    return 1;
}

static void http1_table_every_row_answered_as_said(void **state)
{
    char text[1024];
    unsigned wrong = 0;

    assert_true(GH_COUNT(rows) >= 150);
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        size_t len = strlen(rows[i].text);
        unsigned whole;
        unsigned bytewise;

        assert_true(len < sizeof(text));
        memcpy(text, rows[i].text, len);
        for (size_t k = 0; k < len; k++) {
            if (text[k] == '\1') {
                text[k] = '\0';
            }
        }
        whole = run(text, len, len);
        bytewise = run(text, len, 1);
        if (whole != rows[i].status || bytewise != rows[i].status) {
            print_error("%s: want %u, got %u whole, %u by bytes\n", rows[i].name, rows[i].status,
                        whole, bytewise);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
}

static void http1_prefix_of_good_request_wants_more(void **state)
{
    static const char text[] =
        "PUT /v2/a?b HTTP/1.1\r\nHost: h:1\r\nContent-Length: 3\r\nA: b\r\n\r\n";

    for (size_t len = 1; len < sizeof(text) - 1; len++) {
        assert_int_equal(run(text, len, len), 1);
    }
    assert_int_equal(run(text, sizeof(text) - 1, 7), 0);
}

static enum http1_result feed(struct http1_head *head, const char *text, size_t len)
{
    http1_head_init(head);
    return http1_head_feed(head, (const uint8_t *)text, len);
}

static void http1_head_views_point_at_parts(void **state)
{
    static const char text[] = "GET /v2/a/b?n=1&m HTTP/1.1\r\nHost: h:5000\r\nAccept: x\r\n"
                               "Accept:  y \r\nConnection: Close\r\n\r\nrest";
    struct http1_head head;
    struct bytes value;
    unsigned from = 0;

    assert_int_equal(feed(&head, text, sizeof(text) - 1), HTTP1_DONE);
    assert_int_equal(head.len, sizeof(text) - 1 - 4);
    assert_int_equal(head.method, HTTP1_METHOD_GET);
    assert_true(bytes_equal_cstr(http1_head_path(&head), "/v2/a/b"));
    assert_true(head.has_query);
    assert_true(bytes_equal_cstr(http1_head_query(&head), "n=1&m"));
    assert_true(bytes_equal_cstr(http1_head_host(&head), "h:5000"));
    assert_false(head.is_keep_alive);
    assert_int_equal(http1_head_count(&head, "accept"), 2);
    assert_true(http1_head_find_next(&head, "accept", &from, &value));
    assert_true(bytes_equal_cstr(value, "x"));
    assert_true(http1_head_find_next(&head, "accept", &from, &value));
    assert_true(bytes_equal_cstr(value, "y"));
    assert_false(http1_head_find_next(&head, "accept", &from, &value));
    assert_false(http1_head_find(&head, "accep", &value));
    assert_false(http1_head_has_body(&head));
}

static void http1_head_absolute_target_host_counts(void **state)
{
    static const char text[] = "GET http://a:1 HTTP/1.1\r\nHost: b\r\n\r\n";
    struct http1_head head;

    assert_int_equal(feed(&head, text, sizeof(text) - 1), HTTP1_DONE);
    assert_true(bytes_equal_cstr(http1_head_host(&head), "a:1"));
    assert_true(bytes_equal_cstr(http1_head_path(&head), "/"));
    assert_true(head.is_keep_alive);
}

static unsigned status_of(const char *text, size_t len)
{
    struct http1_head head;

    switch (feed(&head, text, len)) {
    case HTTP1_BAD:
        return head.status;
    case HTTP1_DONE:
        return 0;
    case HTTP1_MORE:
    case HTTP1_DATA:
        break;
    }
    return 1;
}

static void http1_head_fields_limit_is_exact(void **state)
{
    char text[4096] = G H;
    size_t len = strlen(text);

    for (unsigned i = 1; i < HTTP1_MAX_FIELDS; i++) {
        memcpy(text + len, "A: b\r\n", 6);
        len += 6;
    }
    memcpy(text + len, "\r\n", 2);
    assert_int_equal(status_of(text, len + 2), 0);
    memcpy(text + len, "A: b\r\n\r\n", 8);
    assert_int_equal(status_of(text, len + 8), 431);
}

static void http1_head_target_limit_is_exact(void **state)
{
    static char text[HTTP1_MAX_TARGET_BYTES + 64];
    size_t cap = sizeof(text);

    for (size_t extra = 0; extra < 2; extra++) {
        size_t target = HTTP1_MAX_TARGET_BYTES + extra;

        memcpy(text, "GET ", 4);
        memset(text + 4, '/', target);
        memcpy(text + 4 + target, " HTTP/1.1\r\n" H "\r\n", 22);
        assert_int_equal(status_of(text, 4 + target + 22), extra == 0 ? 0 : 414);
    }
    memset(text, 'G', cap); /* a line that never ends */
    text[3] = ' ';
    assert_int_equal(status_of(text, cap), 414);
}

static void http1_head_size_limit_is_exact(void **state)
{
    char *text = malloc(HTTP1_MAX_HEAD_BYTES + 16);
    static const char start[] = G H "A: ";
    size_t len = sizeof(start) - 1;

    assert_non_null(text);
    memset(text, 'a', HTTP1_MAX_HEAD_BYTES + 16);
    memcpy(text, start, len);
    memcpy(text + HTTP1_MAX_HEAD_BYTES - 4, "\r\n\r\n", 4);
    assert_int_equal(status_of(text, HTTP1_MAX_HEAD_BYTES), 0);
    memcpy(text + HTTP1_MAX_HEAD_BYTES - 4, "aa\r\n\r\n", 6);
    assert_int_equal(status_of(text, HTTP1_MAX_HEAD_BYTES + 2), 431);
    memset(text + len, 'a', HTTP1_MAX_HEAD_BYTES - len);
    assert_int_equal(status_of(text, HTTP1_MAX_HEAD_BYTES - 1), 1);
    assert_int_equal(status_of(text, HTTP1_MAX_HEAD_BYTES), 431);
    free(text);
}

static void http1_chunked_pieces_are_the_body(void **state)
{
    static const char text[] = "3;a=\"b\"\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\nGET";
    struct http1_chunked chunked;
    char body[16];
    size_t body_len = 0;
    size_t at = 0;
    enum http1_result result;

    http1_chunked_init(&chunked);
    do {
        size_t consumed;
        struct bytes piece;

        result = http1_chunked_next(&chunked, (const uint8_t *)text + at, sizeof(text) - 1 - at,
                                    &consumed, &piece);
        memcpy(body + body_len, piece.data != NULL ? piece.data : (const uint8_t *)"", piece.len);
        body_len += piece.len;
        at += consumed;
    } while (result == HTTP1_DATA);
    assert_int_equal(result, HTTP1_DONE);
    assert_int_equal(body_len, 5);
    assert_memory_equal(body, "abcde", 5);
    assert_int_equal(at, sizeof(text) - 1 - 3);
}

static void http1_chunked_limits_refused(void **state)
{
    struct http1_chunked chunked;
    char *text = malloc(HTTP1_CHUNKED_MAX_TRAILER_BYTES + 64);
    size_t consumed;
    struct bytes piece;
    size_t len = 3;

    assert_non_null(text);
    memset(text, 'a', HTTP1_CHUNKED_MAX_TRAILER_BYTES + 64);
    memcpy(text, "1;", 2);
    http1_chunked_init(&chunked);
    assert_int_equal(http1_chunked_next(&chunked, (uint8_t *)text, HTTP1_CHUNKED_MAX_LINE_BYTES,
                                        &consumed, &piece),
                     HTTP1_MORE);
    assert_int_equal(http1_chunked_next(&chunked, (const uint8_t *)"a", 1, &consumed, &piece),
                     HTTP1_BAD);
    memcpy(text, "0\r\na:", 5);
    http1_chunked_init(&chunked);
    assert_int_equal(http1_chunked_next(&chunked, (uint8_t *)text,
                                        3 + HTTP1_CHUNKED_MAX_TRAILER_BYTES, &consumed, &piece),
                     HTTP1_MORE);
    assert_int_equal(http1_chunked_next(&chunked, (const uint8_t *)"a", 1, &consumed, &piece),
                     HTTP1_BAD);
    for (unsigned i = 0; i <= HTTP1_CHUNKED_MAX_TRAILER_FIELDS; i++) {
        memcpy(text + len, "A:b\r\n", 5);
        len += 5;
    }
    http1_chunked_init(&chunked);
    assert_int_equal(http1_chunked_next(&chunked, (uint8_t *)text, len - 5, &consumed, &piece),
                     HTTP1_MORE);
    http1_chunked_init(&chunked);
    assert_int_equal(http1_chunked_next(&chunked, (uint8_t *)text, len, &consumed, &piece),
                     HTTP1_BAD);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http1_table_every_row_answered_as_said),
        cmocka_unit_test(http1_prefix_of_good_request_wants_more),
        cmocka_unit_test(http1_head_views_point_at_parts),
        cmocka_unit_test(http1_head_absolute_target_host_counts),
        cmocka_unit_test(http1_head_fields_limit_is_exact),
        cmocka_unit_test(http1_head_target_limit_is_exact),
        cmocka_unit_test(http1_head_size_limit_is_exact),
        cmocka_unit_test(http1_chunked_pieces_are_the_body),
        cmocka_unit_test(http1_chunked_limits_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
