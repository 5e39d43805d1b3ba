"""Atelier: assembles the tabs and launches the page."""

import os
from importlib import import_module
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import gradio as gr  # noqa: E402  (reads the environment when imported)

from pipeline import effects  # noqa: E402
from ui.common import EXAMPLES, connect, endpoint, warm_up  # noqa: E402

HERE = Path(__file__).resolve().parent
DAY = 24 * 3600

THEME = gr.themes.Base(
    primary_hue=gr.themes.colors.orange,
    neutral_hue=gr.themes.colors.stone,
    radius_size=gr.themes.sizes.radius_md,
    font=["system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
)
LAUNCH = dict(
    theme=THEME,
    css_paths=[HERE / "ui" / "style.css"],
    allowed_paths=[str(EXAMPLES)],
    max_file_size="40mb",
    ssr_mode=False,
    mcp_server=True,
    enable_monitoring=False,
    run_history=False,
    footer_links=["api", "settings"],
)


def build() -> gr.Blocks:
    """Assemble the page: one tab and one endpoint per effect that can run here."""
    with gr.Blocks(title="Atelier", analytics_enabled=False, delete_cache=(3600, DAY)) as page:
        with gr.Row(elem_classes="masthead"):
            gr.Markdown("# Atelier\nneural image effects", elem_classes="name")
            gr.DeepLinkButton("Share", elem_classes="share")
        found, ports = effects(), {}
        with gr.Tabs(overflow_behavior="wrap") as tabs:
            for name, effect in found.items():
                with gr.Tab(effect.TITLE, id=name):
                    ports[name] = import_module(f"ui.{name}").build()
                    endpoint(name, effect)
        connect(tabs, ports, {name: effect.TITLE for name, effect in found.items()})
    return page.queue(max_size=32)


if __name__ == "__main__":
    page = build()
    page.launch(prevent_thread_lock=True, **LAUNCH)
    warm_up(effects().values())
    page.block_thread()
