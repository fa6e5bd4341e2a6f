"""Uploads 12 MiB to each URL again and again, with each of Python's clients.

Takes how often, and the URLs, each behind the status that is due: `20 413=http://…`. Prints a line for each client and
URL: the client, the status, and how many answers had it.
"""

import http.client
import sys
import urllib.parse

import httpx
import requests

BODY = b"x" * (12 << 20)


def by_http_client(url):
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=20)
    connection.request("POST", parts.path, BODY)
    status = connection.getresponse().status
    connection.close()
    return status


def by_requests(url):
    return requests.post(url, data=BODY, allow_redirects=False, timeout=20).status_code


def by_httpx(url):
    return httpx.post(url, content=BODY, timeout=20).status_code


def main():
    rounds, targets = int(sys.argv[1]), [target.split("=", 1) for target in sys.argv[2:]]
    for client in by_http_client, by_requests, by_httpx:
        for status, url in targets:
            right = 0
            for _ in range(rounds):
                try:
                    seen = client(url)
                    right += str(seen) == status
                    if str(seen) != status:
                        print(client.__name__, url, seen, file=sys.stderr)
                except Exception as error:
                    print(client.__name__, url, repr(error), file=sys.stderr)
            print(client.__name__, status, right)


main()
