"""Labels, predictions and pseudo labels in a browser on this machine, and marks on them.

scenes.py  which images there are, worst first, and what is drawn of one; knows no browser
page.py    the page, as Streamlit runs it    serve.py  the address 127.0.0.1 that it is shown at
"""
