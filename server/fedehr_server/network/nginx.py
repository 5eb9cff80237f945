"""The proxy in front: nginx lets a hospital reach the fleet routes and nothing else.

The engine serves its fleet, control and runtime routes on one port and asks no account for
control, so whoever reaches the port could start runs. The SuperLink therefore listens on
the loopback interface only, and nginx listens outside.
"""

from pathlib import Path

_TEMPLATE = """\
# Written by `fedehr-server init`. Run it with:
#   nginx -p {folder} -c nginx.conf
worker_processes 1;
daemon off;
pid state/nginx/nginx.pid;
error_log stderr warn;

events {{
    worker_connections 4096;
}}

http {{
    access_log logs/nginx-access.log;
    server_tokens off;
    client_body_temp_path state/nginx/body;
    proxy_temp_path state/nginx/proxy;
    fastcgi_temp_path state/nginx/fastcgi;
    uwsgi_temp_path state/nginx/uwsgi;
    scgi_temp_path state/nginx/scgi;

    upstream superlink {{
        server 127.0.0.1:{port};
        keepalive 32;
    }}

    server {{
        listen {proxy_port} ssl;
        ssl_certificate pki/server.crt;
        ssl_certificate_key pki/server.key;
        ssl_protocols TLSv1.2 TLSv1.3;
        # Weights have no upper size here; the study bounds them.
        client_max_body_size 0;

        location /v1/fleet/ {{
            # With a path of its own nginx hands on the path that it has normalized and
            # matched, never the bytes that the client wrote.
            proxy_pass https://superlink/v1/fleet/;
            # Node authentication wants TLS on the SuperLink too. nginx does not match
            # addresses in certificates, hence the name.
            proxy_ssl_trusted_certificate pki/ca.crt;
            proxy_ssl_verify on;
            proxy_ssl_name localhost;
            proxy_ssl_session_reuse on;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_request_buffering off;
            proxy_buffering off;
            proxy_read_timeout 120s;
        }}

        location = /v1/fleet {{
            return 403;
        }}

        location / {{
            return 403;
        }}
    }}
}}
"""


def nginx_config(folder: Path, port: int, proxy_port: int) -> str:
    """The text of `nginx.conf` for a coordinator folder.

    `port` is the SuperLink's on the loopback interface, `proxy_port` the one that hospitals
    reach. Paths inside are relative to the folder, so the folder may move.
    """
    return _TEMPLATE.format(folder=folder, port=port, proxy_port=proxy_port)


def nginx_command(folder: Path) -> list[str]:
    """The command that runs the proxy in the foreground."""
    return ["nginx", "-p", str(folder), "-c", "nginx.conf"]
