"""The web service (`relact serve`) and the live view (`relact live`).

The server itself never imports torch: processes of their own look at videos (`inspector`) and judge them (`worker`), so
that a file that crashes a decoder costs one job and nothing else.
"""
